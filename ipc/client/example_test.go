package client_test

import (
	"context"
	"encoding/json"
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

// A viewer that follows the patient for as long as it lives. Of other opens it is told as a Patient-open, and of every
// close as a clear.
func ExampleRun() {
	ctx, leave := context.WithCancel(context.Background())
	err := client.Run(ctx, client.Options{
		Address: "no-agent-listens.here", // leave it out for the agent of this user
		Name:    "viewer",
		Events:  []string{"Patient-open"},
		Answers: true,
		Event: func(_ context.Context, e *client.Event) protocol.EventAnswer {
			var event struct {
				Context []struct {
					Key      string
					Resource struct{ ID string }
				}
			}
			if json.Unmarshal(e.Event.Event, &event) != nil || len(event.Context) == 0 || event.Context[0].Key != "patient" {
				return protocol.EventAnswer{Status: 500, Reason: "an open that names no patient"}
			}
			fmt.Println("patient", event.Context[0].Resource.ID)
			return protocol.EventAnswer{Status: 200}
		},
		Clear: func(context.Context, protocol.Reason) protocol.EventAnswer {
			fmt.Println("no patient")
			return protocol.EventAnswer{Status: 200}
		},
		OutOfSync: func(error) {
			fmt.Println("OUT OF SYNC, this may be the wrong patient")
			leave() // a viewer stays
		},
	})
	fmt.Println(err)
	// Output:
	// OUT OF SYNC, this may be the wrong patient
	// context canceled
}
