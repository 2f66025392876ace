package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) quitCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "quit",
		Short: "End the agent, and wait until it has left the hub and cleared the apps",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.quit(cmd.Context())
		},
	})
}

func (t *tool) quit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := t.control(ctx, "quit", client.Options{})
	if err != nil {
		return err
	}
	result := json.RawMessage("{}")
	err = c.Call(ctx, protocol.MethodQuit, protocol.Empty{}, &result)
	if err != nil && !errors.Is(err, net.ErrClosed) { // it may be gone before it has answered
		hangUp(c)
		return err
	}
	leave := context.AfterFunc(ctx, c.Close)
	_ = c.Wait()
	leave()
	if err := t.free(ctx); err != nil {
		return err
	}
	return t.done(result, "The agent has stopped.")
}

// free waits until nobody serves the address any more, so that the next agent may.
func (t *tool) free(ctx context.Context) error {
	address, err := t.address()
	if err != nil {
		return err
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := ipc.Dial(ctx, address)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			conn.Close("only looking")
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
