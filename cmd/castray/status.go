package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) statusCommand() *cobra.Command {
	var watch bool
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "status",
		Short: "Say how the agent is and whether every app follows",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return t.watchStatus(cmd.Context())
			}
			raw, err := t.ask(cmd.Context(), "status", protocol.MethodStatus, protocol.Empty{})
			if err != nil {
				return err
			}
			if t.json {
				return t.printJSON(raw)
			}
			s, err := decoded[protocol.Status](raw)
			if err != nil {
				return err
			}
			return t.print("%s", statusText(s))
		},
	})
	cmd.Flags().BoolVar(&watch, "watch", false, "print a line whenever it changes, until interrupted")
	return cmd
}

// watchStatus prints one Status a line as it changes, until interrupted or until the agent goes.
func (t *tool) watchStatus(ctx context.Context) error {
	lines := make(chan json.RawMessage)
	ended := make(chan error, 1)
	c, err := t.control(ctx, "status", client.Options{
		Message: func(method string, params json.RawMessage) {
			if method == protocol.MethodStatus {
				select {
				case lines <- bytes.Clone(params):
				case <-ctx.Done():
				}
			}
		},
	})
	if err != nil {
		return err
	}
	go func() { ended <- c.Wait() }()
	stop := func() { // whoever still hands over a line is not kept waiting
		c.Close()
		for {
			select {
			case <-lines:
			case <-ended:
				return
			}
		}
	}
	var last json.RawMessage
	for {
		select {
		case line := <-lines:
			if bytes.Equal(line, last) { // the agent repeats it every 30 s as a sign of life
				continue
			}
			last = line
			if err := t.printStatus(line); err != nil {
				stop()
				return err
			}
		case <-ended:
			return agentGone()
		case <-ctx.Done():
			stop()
			return nil
		}
	}
}

func (t *tool) printStatus(raw json.RawMessage) error {
	if t.json {
		return t.printJSON(raw)
	}
	s, err := decoded[protocol.Status](raw)
	if err != nil {
		return err
	}
	return t.print("%s", statusLine(s))
}

// agentGone is the end of a command that only lives as long as the agent.
func agentGone() error {
	return failf(exitNoAgent, "The agent has stopped: what apps show may be out of date. Start it with: castray run")
}

// decoded reads a result of the agent.
func decoded[T any](raw json.RawMessage) (v T, err error) {
	if err = json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("read the agent's answer: %w", err)
	}
	return v, nil
}
