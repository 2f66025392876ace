package keychain

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childVar tells this test binary to be another process of a test.
const childVar = "CASTRAY_KEYCHAIN_CHILD"

func TestMain(m *testing.M) {
	switch part := os.Getenv(childVar); part {
	case "":
		goleak.VerifyTestMain(m)
	case "holder":
		holdLock(os.Args[1], os.Args[2])
	default:
		if err := desktopChild(part); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

// folder is t.TempDir, but that what cannot be deleted stays: Wine does not know
// how Go does that.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "castray-keychain")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// holdLock takes the lock of key in dir, says so, and keeps it until stdin ends or
// somebody kills the process.
func holdLock(dir, key string) {
	unlock, err := (Shared{Dir: dir}).Lock(context.Background(), key)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer unlock()
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
}
