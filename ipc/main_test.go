package ipc

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also a small app: with this variable set it connects, says so, and waits for its standard input
// to end.
const appVariable = "CASTRAY_TEST_APP"

func TestMain(m *testing.M) {
	if address := os.Getenv(appVariable); address != "" {
		os.Exit(runApp(address))
	}
	// go-winio keeps one goroutine for all completions of a process, for ever.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Microsoft/go-winio.ioCompletionProcessor"))
}

func runApp(address string) int {
	conn, err := Dial(context.Background(), address)
	if err != nil {
		fmt.Println("dial:", err)
		return 1
	}
	fmt.Println("connected")
	os.Stdin.Read(make([]byte, 1))
	conn.Close("done")
	return 0
}
