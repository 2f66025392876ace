package client_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A viewer shows what it is told and says that it did. When the agent goes away, what is on its screen may be wrong.
func ExampleDial() {
	dir, err := os.MkdirTemp("", "castray-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	c, err := client.Dial(context.Background(), client.Options{
		Address: filepath.Join(dir, "castray.sock"), // leave it out for the agent of this user
		Name:    "viewer",
		Answers: true,
		Event: func(_ context.Context, e *client.Event) protocol.EventAnswer {
			fmt.Println("open what", e.ID, "names")
			return protocol.EventAnswer{Status: 200}
		},
		Clear:     func(context.Context, protocol.Reason) protocol.EventAnswer { return protocol.EventAnswer{Status: 200} },
		OutOfSync: func(error) { fmt.Println("mark the screen: out of sync") },
	})
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Println("no agent is running")
		return
	}
	defer c.Close()
	// Output: no agent is running
}
