// Goconform is the app of the conformance test, in Go: it does what the command file says and prints what it lives
// through.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

type app struct {
	answer  atomic.Int64
	windows atomic.Pointer[[]protocol.Window]
	client  atomic.Pointer[client.Client]
	leave   context.CancelFunc
	printed sync.Mutex
}

func main() {
	ctx, leave := context.WithCancel(context.Background())
	a := &app{leave: leave}
	a.answer.Store(200)
	a.windows.Store(&[]protocol.Window{})
	commands, err := os.Open(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	a.say("ready")
	go a.follow(ctx, commands) // ends with the process
	err = client.Run(ctx, a.options())
	var refused *protocol.Error
	if errors.As(err, &refused) {
		a.say("refused", refused.Code)
		return
	}
	a.say("left")
}

func (a *app) options() client.Options {
	o := client.Options{
		Name: os.Args[1], Version: "1", Answers: true,
		Admitted: func(c *client.Client) {
			a.client.Store(c)
			a.say("admitted", c.Hello().App)
		},
		Event: a.event,
		Clear: func(_ context.Context, reason protocol.Reason) protocol.EventAnswer {
			a.say("clear", reason)
			return protocol.EventAnswer{Status: 200}
		},
		Shown:     func(context.Context) []protocol.Window { return *a.windows.Load() },
		Status:    func(s protocol.Status) { a.say("status", s.Phase) },
		OutOfSync: func(error) { a.say("lost") },
	}
	if len(os.Args) > 4 {
		o.ReadKey = readKey
	}
	return o
}

func readKey() (string, error) {
	text, err := os.ReadFile(os.Args[4])
	if err != nil {
		return "", err
	}
	var keys protocol.Keys
	err = json.Unmarshal(text, &keys)
	return keys.Key, err
}

func (a *app) event(_ context.Context, e *client.Event) protocol.EventAnswer {
	var event struct {
		Name string `json:"hub.event"`
	}
	if err := json.Unmarshal(e.Event.Event, &event); err != nil {
		log.Fatal(err)
	}
	when := "live"
	if e.Castray != nil && e.Castray.Replay {
		when = "replay"
	}
	a.say("event", event.Name, e.ID, patientOf(e.Event.Event), when)
	switch status := int(a.answer.Load()); status {
	case 0:
		time.AfterFunc(50*time.Millisecond, func() { e.Answer(protocol.EventAnswer{Status: 200}) })
		return protocol.EventAnswer{}
	case 1:
		time.Sleep(time.Second)
		a.say("returned")
		return protocol.EventAnswer{Status: 200}
	case 200:
		return protocol.EventAnswer{Status: 200}
	default:
		return protocol.EventAnswer{Status: status, Reason: "as told"}
	}
}

// patientOf is the id of the patient in an event, "-" for none.
func patientOf(event json.RawMessage) string {
	var e struct {
		Context []struct {
			Key      string
			Resource struct{ ID string }
		}
	}
	if err := json.Unmarshal(event, &e); err != nil {
		log.Fatal(err)
	}
	for _, entry := range e.Context {
		if entry.Key == "patient" {
			return entry.Resource.ID
		}
	}
	return "-"
}

// follow obeys the lines that are added to a file.
func (a *app) follow(ctx context.Context, commands io.Reader) {
	in, line := bufio.NewReader(commands), ""
	for {
		part, err := in.ReadString('\n')
		line += part
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		command, words, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		line = ""
		err = a.obey(ctx, command, words)
		var refused *protocol.Error
		switch {
		case errors.As(err, &refused):
			a.say("error", refused.Code)
		case err != nil:
			a.say("error", "lost")
		}
		a.say("obeyed")
	}
}

func (a *app) obey(ctx context.Context, command, words string) error {
	word := strings.SplitN(words, " ", 3)
	c := a.client.Load()
	switch command {
	case "answer":
		status, err := strconv.Atoi(words)
		a.answer.Store(int64(status))
		return err
	case "show":
		windows := []protocol.Window{}
		if len(word) == 2 {
			windows = append(windows, protocol.Window{Patient: []protocol.Identifier{{System: word[0], Value: word[1]}}})
		}
		a.windows.Store(&windows)
	case "context":
		var result struct{ Current *protocol.Event }
		if err := c.Call(ctx, protocol.MethodContext, nil, &result); err != nil {
			return err
		}
		if result.Current == nil {
			a.say("context", "none")
		} else {
			a.say("context", patientOf(result.Current.Event))
		}
	case "send":
		var result protocol.SendResult
		patient := fmt.Sprintf(`[{"key":"patient","resource":{"resourceType":"Patient","id":%q,"identifier":[{"system":"urn:test:mrn","value":%[1]q}]}}]`, word[2])
		err := c.Call(ctx, protocol.MethodSend, protocol.SendParams{ID: word[0], Event: word[1], Context: json.RawMessage(patient)}, &result)
		if err != nil {
			return err
		}
		a.say("sent", result.ID)
	case "subscribe":
		var p protocol.SubscribeParams
		if words != "" {
			p.Events = strings.Split(words, ",")
		}
		if err := c.Call(ctx, protocol.MethodSubscribe, p, nil); err != nil {
			return err
		}
		a.say("subscribed")
	case "leave":
		a.leave()
	}
	return nil
}

func (a *app) say(words ...any) {
	a.printed.Lock()
	defer a.printed.Unlock()
	fmt.Println(words...)
}
