package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A watch is what castray watch was asked to do.
type watch struct {
	*tool
	events []string
	answer int    // 0: the app does not answer
	show   string // file with what it says it shows, "" when it cannot say
	record string // file that messages are added to

	copies *os.File
	names  *synthetic // of the copies
	status string     // as last told
	leave  func()
	mu     sync.Mutex
	failed error // why an output is no longer complete
}

func (t *tool) watchCommand() *cobra.Command {
	w := &watch{tool: t}
	var answer string
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "watch",
		Short: "Join as an app and print what it is told, patients too",
		Long: `Joins as a local app does and prints every message of the agent, until interrupted. What is printed names patients.
With --json each line is the message as received.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if answer != "none" {
				var err error
				if w.answer, err = strconv.Atoi(answer); err != nil || w.answer != 200 && w.answer != 202 && w.answer != 409 {
					return usagef("--answer is 200, 202, 409 or none.")
				}
			}
			return w.run(cmd.Context())
		},
	})
	cmd.Flags().StringSliceVar(&w.events, "events", nil, "follow only these `EVENTS`, such as Patient-open,Patient-close")
	cmd.Flags().StringVar(&answer, "answer", "none", "the `ANSWER` to each event: 200, 202, 409 or none")
	cmd.Flags().StringVar(&w.show, "show", "", `say that this is shown when asked: a FILE with {"windows":[...]}, read each time`)
	cmd.Flags().StringVar(&w.record, "record", "", "write each message to this `FILE` too, as JSON, with invented identifiers for real ones")
	return cmd
}

func (w *watch) run(ctx context.Context) error {
	o := client.Options{Name: "castray-watch", Version: version(), Events: w.events, Answers: w.answer != 0, Message: w.message}
	if w.answer != 0 {
		o.Event = func(context.Context, *client.Event) protocol.EventAnswer {
			return protocol.EventAnswer{Status: w.answer}
		}
		o.Clear = func(context.Context, protocol.Reason) protocol.EventAnswer {
			return protocol.EventAnswer{Status: w.answer}
		}
	}
	if w.show != "" {
		if _, err := w.windows(); err != nil {
			return err
		}
		o.Shown = w.shown
	}
	if w.record != "" {
		var err error
		if w.copies, err = os.OpenFile(w.record, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		defer w.copies.Close()
		w.names = newSynthetic()
	}
	var err error
	if o.Address, err = w.address(); err != nil {
		return err
	}
	ctx, w.leave = context.WithCancel(ctx)
	defer w.leave()
	c, err := client.Dial(ctx, o)
	if err != nil {
		return noAgent(err)
	}
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	ended := c.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.failed != nil:
		return w.failed
	case ended != nil:
		return agentGone()
	}
	return nil
}

// message prints a message before it is answered. One that cannot be printed or recorded ends the watch: a list with
// gaps would look complete.
func (w *watch) message(method string, params json.RawMessage) {
	name, err := json.Marshal(method)
	if err != nil {
		w.fail(err)
		return
	}
	if params == nil {
		params = json.RawMessage("{}")
	}
	line := fmt.Sprintf(`{"jsonrpc":"2.0","method":%s,"params":%s}`, name, params)
	if w.copies != nil {
		recorded := fmt.Sprintf(`{"jsonrpc":"2.0","method":%s,"params":%s}`, name, w.names.message(method, params))
		if _, err := fmt.Fprintln(w.copies, recorded); err != nil {
			w.fail(fmt.Errorf("record: %w", err))
			return
		}
	}
	if w.json {
		err = w.printJSON(json.RawMessage(line))
	} else {
		err = w.tell(method, params)
	}
	if err != nil {
		w.fail(err)
	}
}

// tell prints a message for a person, but not every 30 s that nothing has changed.
func (w *watch) tell(method string, params json.RawMessage) error {
	words := told(method, params)
	if method == protocol.MethodStatus {
		if words == w.status {
			return nil
		}
		w.status = words
	}
	return w.print("%s  %s", time.Now().Format("15:04:05"), words)
}

func (w *watch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
	w.leave()
}

// told is a message in words.
func told(method string, params json.RawMessage) string {
	switch method {
	case protocol.MethodEvent:
		return describe(params)
	case protocol.MethodClear:
		var c protocol.Clear
		if json.Unmarshal(params, &c) == nil {
			return fmt.Sprintf("clear: show no patient (%s)", c.Reason)
		}
	case protocol.MethodStatus:
		var s protocol.Status
		if json.Unmarshal(params, &s) == nil {
			return "status: " + statusLine(s)
		}
	}
	return method
}

// windows reads what --show says.
func (w *watch) windows() ([]protocol.Window, error) {
	text, err := os.ReadFile(w.show)
	if err != nil {
		return nil, fmt.Errorf("show: %w", err)
	}
	var r struct {
		Windows *[]protocol.Window `json:"windows"`
	}
	if json.Unmarshal(text, &r) != nil || r.Windows == nil {
		return nil, errors.New(`show: the file has to hold {"windows":[...]} as in the manual of the local protocol`)
	}
	return *r.Windows, nil
}

// shown answers the agent. A file that cannot be read any more ends the watch rather than claim that nothing is shown.
func (w *watch) shown(ctx context.Context) []protocol.Window {
	windows, err := w.windows()
	if err != nil {
		w.fail(err)
		<-ctx.Done()
	}
	return windows
}
