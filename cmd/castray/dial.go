package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// answerWithin is how long a command waits for the agent, which itself waits for servers: sign-out revokes, resume reads
// the context first.
const answerWithin = time.Minute

// address is where the agent of this user listens.
func (t *tool) address() (string, error) {
	if t.socket != "" {
		return t.socket, nil
	}
	if a := t.env("CASTRAY_SOCKET"); a != "" {
		return a, nil
	}
	return ipc.DefaultAddress()
}

// control connects to the agent as one of our commands: with the key that grants control, and without events, so that
// the command is no app among the apps.
func (t *tool) control(ctx context.Context, command string, o client.Options) (*client.Client, error) {
	address, err := t.address()
	if err != nil {
		return nil, err
	}
	keys, err := ipc.ReadKeys(address)
	if err != nil {
		return nil, noAgent(err)
	}
	o.Address, o.Name, o.Version, o.Events, o.Key = address, "castray-"+command, version(), []string{}, keys.Key
	c, err := client.Dial(ctx, o)
	var refused *protocol.Error
	if errors.As(err, &refused) && refused.Code == protocol.CodeNotAllowed {
		// The file was that of the run before: an agent that starts listens first and writes it then.
		fresh, again := ipc.ReadKeys(address)
		if again == nil && fresh.Key != keys.Key {
			o.Key = fresh.Key
			c, err = client.Dial(ctx, o)
		}
	}
	if err != nil {
		return nil, noAgent(err)
	}
	return c, nil
}

func noAgent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return failf(exitNoAgent, "No agent is running here. Start it with: castray run")
	}
	return err
}

// ask calls one method of the agent and gives its result as it came.
func (t *tool) ask(ctx context.Context, command, method string, params any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := t.control(ctx, command, client.Options{})
	if err != nil {
		return nil, err
	}
	defer hangUp(c)
	var result json.RawMessage
	err = c.Call(ctx, method, params, &result)
	return result, err
}

// do asks for something whose result is nothing but that it was done; sentence says so.
func (t *tool) do(ctx context.Context, command, method string, params any, sentence string) error {
	result, err := t.ask(ctx, command, method, params)
	if err != nil {
		return err
	}
	return t.done(result, sentence)
}

// done prints the result for a script, or the sentence for a person.
func (t *tool) done(result json.RawMessage, sentence string) error {
	if t.json {
		return t.printJSON(result)
	}
	t.say("%s", sentence)
	return nil
}

func hangUp(c *client.Client) {
	c.Close()
	_ = c.Wait()
}
