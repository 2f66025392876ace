package keychain

import (
	"context"
	"fmt"
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

// holdLock takes the lock of key in dir, says so, and keeps it until somebody
// kills the process.
func holdLock(dir, key string) {
	if _, err := (Shared{Dir: dir}).Lock(context.Background(), key); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	select {}
}
