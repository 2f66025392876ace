package keychain

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castray/castray/oauth"
)

// What oauth looks for in a Store.
var _ interface {
	oauth.Store
	Lock(ctx context.Context, key string) (unlock func(), err error)
} = Shared{}

// holderOf is another process that has the lock of key.
func holderOf(t *testing.T, dir, key string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, dir, key)
	cmd.Env = append(os.Environ(), childVar+"=holder")
	_, err = cmd.StdinPipe() // which stays open as long as we are there
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "held" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return cmd
}

// SM-REF-04: one process at a time, and who dies holding the lock leaves none
// behind.
func TestLockOfAProcessThatIsKilled(t *testing.T) {
	s := Shared{Dir: folder(t)}
	other := holderOf(t, s.Dir, key)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while another process has it: %v", err)
	}
	unlock, err := s.Lock(t.Context(), "another")
	if err != nil {
		t.Fatalf("the lock of another key: %v", err)
	}
	unlock()
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if unlock, err = s.Lock(t.Context(), key); err != nil { // the test's own time is the limit
		t.Fatalf("after its end: %v", err)
	}
	unlock()
}

func TestLockAmongGoroutines(t *testing.T) {
	s := Shared{Dir: filepath.Join(folder(t), "made", "when needed")}
	var all sync.WaitGroup
	inside, most := 0, 0 // under the lock; the race detector knows nothing of it, so each is read and written inside only
	var mu sync.Mutex
	for range 8 {
		all.Go(func() {
			unlock, err := s.Lock(t.Context(), key)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			inside--
			mu.Unlock()
			unlock()
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d at once", most)
	}
}

// What somebody else may have put in the place of the lock file is not waited
// for, and no path is told.
func TestLockFileThatIsNone(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "sign-in-"+key+".lock")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]func() (Shared, error){
		"no folder":           func() (Shared, error) { return Shared{}, nil },
		"a file for a folder": func() (Shared, error) { return Shared{Dir: file}, nil },
		"a folder":            func() (Shared, error) { return Shared{Dir: dir}, os.Mkdir(path, 0o700) },
	}
	if runtime.GOOS != "windows" {
		kinds["a link"] = func() (Shared, error) { return Shared{Dir: dir}, os.Symlink(file, path) }
		kinds["a pipe that nobody reads"] = func() (Shared, error) { return Shared{Dir: dir}, exec.Command("mkfifo", path).Run() }
	}
	for name, put := range kinds {
		s, err := put()
		if err != nil {
			t.Fatal(err)
		}
		if unlock, err := s.Lock(t.Context(), key); err == nil || unlock != nil || strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
		_ = os.Remove(path)
	}
}
