package ipc

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The test binary is also a small app: with this variable set it connects, says so, and waits for its standard input
// to end; or, at a port, for the other side to hang up.
const (
	appVariable = "CASTRAY_TEST_APP"
	tcpApp      = "tcp:"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(appVariable); address != "" {
		os.Exit(runApp(address))
	}
	// go-winio keeps one goroutine for all completions of a process, for ever.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Microsoft/go-winio.ioCompletionProcessor"))
}

func runApp(address string) int {
	if port, ok := strings.CutPrefix(address, tcpApp); ok {
		conn, err := net.Dial("tcp", port)
		if err != nil {
			fmt.Println("dial:", err)
			return 1
		}
		fmt.Println("connected")
		conn.Read(make([]byte, 1))
		conn.Close()
		return 0
	}
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

// serveAll accepts until the test ends and then waits for all connections.
func serveAll(t *testing.T, l *Listener, accepted func(*Conn)) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept(ctx)
			if err != nil {
				return
			}
			if accepted != nil {
				accepted(conn)
			}
			all.Go(func() {
				conn.Serve(ctx, echo)
				conn.Peer().Release()
			})
		}
	})
	t.Cleanup(func() { cancel(); all.Wait(); l.Close() })
}
