# The lines a contributor types. Each is one go command, or a script beside .ci/run.

.PHONY: check test demo build bench soak docs desktop-test netns-test

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

# Repetitions and random histories at their full count, about an hour; the everyday run does a fiftieth. What kills
# processes and measures runs last and without the race detector; .ci/run has that at a tenth with it.
# PAGE=docs/reliability.md keeps the table.
soak: SHELL := /bin/bash
soak:
	CASTRAY_SOAK=100 go test -race -count=1 -timeout 60m -skip '^TestSoak' ./...
	set -o pipefail; log=$$(mktemp); trap 'rm -f $$log' EXIT; \
	CASTRAY_SOAK=100 go test -count=1 -timeout 90m -v -run '^TestSoak' ./cmd/castray | tee $$log && \
	$(if $(PAGE),go test -count=1 -run '^TestDocsReliability$$' . -update -soak $$log,true)

# Writes the pages in docs/ that come from the tests.
docs:
	go test -count=1 -run '^TestDocs' . -update
	go test -count=1 -run '^TestSentences' ./agent -update
	go test -count=1 -run '^TestSchemaIsMade' ./ipc/protocol -update
	go test -count=1 -run '^TestDocumentsTellWhatTheTableSays' ./agent/config -update

# Tests that need a desktop (session bus, keyring, tray host, browser), then the Windows ones through Wine.
desktop-test:
	.ci/desktop-test

# Tests of a network that fails, in network namespaces: as root, with iproute2 and iptables. They wait beside each other,
# some 40 s.
netns-test:
	go test -tags netns -count=1 -parallel 8 -timeout 5m $(GOTESTFLAGS) -run '^TestNetns$$' ./cmd/castray
