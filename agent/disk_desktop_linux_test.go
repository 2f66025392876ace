//go:build desktop

package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/ipc/protocol"
)

// fullDisk is a folder on a disk without a free byte. To mount one needs root, as .ci/desktop-test has it.
func fullDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Fatalf("mount: %v (this test needs root)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "fill"), make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return dir
}

// A full disk costs the memory of the last site, and leaves no half of it behind.
func TestAFullDiskUnderTheState(t *testing.T) {
	h := newHospital(t)
	h.state = filepath.Join(fullDisk(t), "state")
	h.starts()
	h.do("signin", `{}`)
	if s := h.phase(protocol.PhaseNoContext); len(s.Problems) != 0 {
		t.Errorf("problems %v", s.Problems)
	}
	if !contains(h.log.String(), "no space left on device") {
		t.Error("nothing is logged")
	}
	files, err := os.ReadDir(h.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Size() != 0 || !strings.HasSuffix(f.Name(), ".lock") { // a lock holds nothing
			t.Errorf("left behind: %s", f.Name())
		}
	}
	h.end()
}

// Without room for the keys nobody could control the agent: it says so and does not begin.
func TestAFullDiskUnderTheSocket(t *testing.T) {
	h := newHospital(t)
	dir := fullDisk(t)
	a := agent.New(agent.Config{Settings: h.settings(h.file), Address: filepath.Join(dir, "s")})
	if err := a.Run(h.ctx); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Run: %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() != "fill" {
			t.Errorf("left behind: %s", f.Name())
		}
	}
}
