# The lines a contributor types. Each is one go command, or a script beside .ci/run.

.PHONY: check test demo build bench soak docs desktop-test

# What to run before a commit, in a few minutes.
check:
	test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go test -race ./...

test:
	go test ./...

demo:
	go run ./cmd/castray demo

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o dist/ ./cmd/castray

# Measures against a raw relay in the same run, some three minutes; see docs/performance.md. PAGE=docs/performance.md keeps
# the table.
bench:
	go test ./cmd/castray -run '^$$' -bench '^BenchmarkRelay$$' -benchtime 1x -timeout 30m $(if $(PAGE),-page $(abspath $(PAGE)))

# Repetitions and random histories at their full count; the everyday run does a tenth.
soak:
	CASTRAY_SOAK=100 go test -race -count=1 -timeout 60m ./...

# Writes the pages in docs/ that come from the tests.
docs:
	go test -count=1 -run '^TestDocs' . -update
	go test -count=1 -run '^TestSentences' ./agent -update
	go test -count=1 -run '^TestDocumentsTellWhatTheTableSays' ./agent/config -update

# Tests that need a desktop (session bus, keyring, tray host, browser), then the Windows ones through Wine.
desktop-test:
	.ci/desktop-test
