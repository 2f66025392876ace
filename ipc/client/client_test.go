package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/Microsoft/go-winio.ioCompletionProcessor"))
}

// agent is the other end of a client under test: it answers hello, and pushes what the test tells it to.
type agent struct {
	t       *testing.T
	conn    *ipc.Conn
	hello   protocol.Hello
	version int
	key     string // that it wants, if any
	ended   chan struct{}
}

// newAgent serves one connection.
func newAgent(t *testing.T, conn *ipc.Conn, version int) *agent {
	a := &agent{t: t, conn: conn, version: version, ended: make(chan struct{})}
	go func() {
		conn.Serve(context.Background(), a.handle)
		close(a.ended)
	}()
	return a
}

func (a *agent) handle(_ context.Context, _ *ipc.Conn, method string, params json.RawMessage, _ bool) (any, error) {
	switch method {
	case protocol.MethodHello:
		if err := protocol.Decode(params, &a.hello); err != nil {
			return nil, err
		}
		if a.key != a.hello.Key && a.key != "" {
			return nil, &protocol.Error{Code: protocol.CodeNotAllowed, Message: "another key"}
		}
		if a.version == 0 {
			return nil, protocol.Hello{Protocol: 99}.Check()
		}
		return protocol.HelloResult{Protocol: a.version, App: a.hello.Name}, nil
	case protocol.MethodSend:
		return params, nil
	}
	return nil, &protocol.Error{Code: protocol.CodeMethodNotFound, Message: "no such method"}
}

// asks calls a method of the app and gives the answer as text.
func (a *agent) asks(method, params string) string {
	a.t.Helper()
	var result json.RawMessage
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	if err := a.conn.Call(ctx, method, json.RawMessage(params), &result); err != nil {
		return err.Error()
	}
	return string(result)
}

// dialed is an app with its agent, for use in a synctest bubble.
func dialed(t *testing.T, o Options) (*Client, *agent) {
	t.Helper()
	var a *agent
	o.Name = "viewer"
	o.dial = func(context.Context) (*ipc.Conn, error) {
		theirs, ours := ipc.Pipe()
		a = newAgent(t, theirs, protocol.Version)
		return ours, nil
	}
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c, a
}

const patientOpen = `{"timestamp":"2026-01-02T03:04:05Z","id":"e1","event":{"hub.event":"Patient-open"},"castray":{"replay":true}}`

func TestEventsAndClearsAreAnsweredByTheCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		c, a := dialed(t, Options{
			Version: "7", Events: []string{"Patient-open"}, Key: "k", Answers: true,
			Event: func(_ context.Context, e *Event) protocol.EventAnswer {
				seen = append(seen, fmt.Sprint(e.ID, e.Castray.Replay, string(e.Event.Event)))
				return protocol.EventAnswer{Status: 409, Reason: "busy"}
			},
			Clear: func(_ context.Context, reason protocol.Reason) protocol.EventAnswer {
				seen = append(seen, string(reason))
				return protocol.EventAnswer{Status: 200}
			},
			Shown: func(context.Context) []protocol.Window { return nil },
			Status: func(s protocol.Status) {
				seen = append(seen, string(s.Phase))
			},
			Message: func(method string, params json.RawMessage) {
				if method == protocol.MethodStatus {
					seen = append(seen, string(params))
				}
			},
			OutOfSync: func(error) { t.Error("out of sync after Close") },
		})
		want := protocol.Hello{Protocol: 1, Name: "viewer", Version: "7", Events: []string{"Patient-open"}, Answers: true, Shows: true, Key: "k"}
		if fmt.Sprint(a.hello) != fmt.Sprint(want) || c.Hello().App != "viewer" {
			t.Errorf("hello was %+v and its answer %+v", a.hello, c.Hello())
		}
		for _, row := range [][3]string{
			{"event", patientOpen, `{"status":409,"reason":"busy"}`},
			{"clear", `{"reason":"closed"}`, `{"status":200}`},
			{"shown", `{}`, `{"windows":[]}`},
			{"event", `{"id":7}`, `event: params are no event: an object with timestamp, id and event (-32602)`},
			{"dance", `{}`, `dance: this app knows no such method (-32601)`},
		} {
			if got := a.asks(row[0], row[1]); got != row[2] {
				t.Errorf("%s: %s, want %s", row[0], got, row[2])
			}
		}
		if err := a.conn.Notify("status", []byte(`{"phase":"in_sync"}`)); err != nil {
			t.Error(err)
		}
		var sent protocol.SendParams
		if err := c.Call(t.Context(), protocol.MethodSend, protocol.SendParams{ID: "x"}, &sent); err != nil || sent.ID != "x" {
			t.Errorf("%+v %v", sent, err)
		}
		synctest.Wait()
		c.Close()
		if err := c.Wait(); err != nil {
			t.Errorf("after Close: %v", err)
		}
		<-a.ended
		if want := []string{`e1true{"hub.event":"Patient-open"}`, "closed", `{"phase":"in_sync"}`, "in_sync"}; !slices.Equal(seen, want) {
			t.Errorf("the app saw %q, want %q", seen, want)
		}
	})
}

func TestAnAppWithoutCallbacksHasHeardButConfirmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := dialed(t, Options{Answers: true})
		for _, row := range [][3]string{
			{"event", patientOpen, `{"status":202}`},
			{"clear", `{"reason":"closed"}`, `{"status":202}`},
			{"shown", `{}`, `shown: this app cannot say what it shows (-32601)`},
			{"status", `{}`, `{}`},
		} {
			if got := a.asks(row[0], row[1]); got != row[2] {
				t.Errorf("%s: %s, want %s", row[0], got, row[2])
			}
		}
		c.Close()
		c.Wait()
		<-a.ended
	})
}

func TestAnEventThatAsksTheUserHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting := make(chan *Event, 1)
		c, a := dialed(t, Options{
			Answers: true,
			Event: func(_ context.Context, e *Event) protocol.EventAnswer {
				waiting <- e
				return protocol.EventAnswer{}
			},
			Clear: func(context.Context, protocol.Reason) protocol.EventAnswer { return protocol.EventAnswer{Status: 200} },
		})
		answered := make(chan string)
		go func() { answered <- a.asks("event", patientOpen) }()
		e := <-waiting
		if got := a.asks("clear", `{"reason":"user"}`); got != `{"status":200}` {
			t.Errorf("clear while the user is asked: %s", got)
		}
		e.Answer(protocol.EventAnswer{Status: 200})
		e.Answer(protocol.EventAnswer{Status: 409}) // too late
		if got := <-answered; got != `{"status":200}` {
			t.Errorf("answered %s", got)
		}
		e.Answer(protocol.EventAnswer{Status: 409})
		c.Close()
		c.Wait()
		<-a.ended
	})
}

func TestSilenceAndAClosedConnectionAreOutOfSync(t *testing.T) {
	for name, lose := range map[string]func(*agent){
		"75 s without a line": func(*agent) { time.Sleep(75 * time.Second) }, // within the bubble
		"closed connection":   func(a *agent) { a.conn.Close("stopping") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				c, a := dialed(t, Options{OutOfSync: func(error) { told++ }})
				start := time.Now()
				time.Sleep(74 * time.Second)
				if told != 0 {
					t.Errorf("told after %v", time.Since(start))
				}
				if err := a.conn.Notify("status", []byte(`{}`)); err != nil {
					t.Fatal(err)
				}
				lose(a)
				if err := c.Wait(); err == nil || told != 1 {
					t.Errorf("%v, told %d times", err, told)
				}
				<-a.ended
			})
		})
	}
}

func TestOutOfSyncDoesNotWaitForACallbackThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold, begun, told := make(chan struct{}), make(chan struct{}), make(chan struct{})
		c, a := dialed(t, Options{
			Event: func(ctx context.Context, _ *Event) protocol.EventAnswer {
				close(begun)
				<-ctx.Done()
				<-hold
				return protocol.EventAnswer{Status: 200}
			},
			Clear: func(context.Context, protocol.Reason) protocol.EventAnswer {
				t.Error("called after the end")
				return heard
			},
			OutOfSync: func(error) { close(told) },
		})
		for _, line := range []string{"event", "clear"} {
			if err := a.conn.Notify(line, []byte(patientOpen)); err != nil {
				t.Fatal(err)
			}
		}
		<-begun
		a.conn.Close("stopping")
		<-told
		close(hold)
		c.Wait()
		<-a.ended
	})
}

func TestAnAppThatDoesNotKeepUpIsOutOfSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var why error
		c, a := dialed(t, Options{
			Event:     func(ctx context.Context, _ *Event) protocol.EventAnswer { <-ctx.Done(); return heard },
			OutOfSync: func(err error) { why = err },
		})
		sent := 0
		for a.conn.Notify("event", []byte(patientOpen)) == nil && sent < 2*maxQueue {
			sent++
		}
		c.Wait()
		if why == nil || !strings.Contains(why.Error(), "does not keep up") || sent > maxQueue+3 {
			t.Errorf("%v after %d", why, sent)
		}
		<-a.ended
	})
}

func TestDialIsRefused(t *testing.T) {
	for name, version := range map[string]int{"an agent that refuses our version": 0, "an agent that says another": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a *agent
				_, err := Dial(t.Context(), Options{
					Name: "viewer", OutOfSync: func(error) { t.Error("was never in sync") },
					dial: func(context.Context) (*ipc.Conn, error) {
						theirs, ours := ipc.Pipe()
						a = newAgent(t, theirs, version)
						return ours, nil
					},
				})
				var e *protocol.Error
				if !errors.As(err, &e) || e.Code != protocol.CodeVersion || !strings.Contains(e.Message, "update the older") {
					t.Error(err)
				}
				<-a.ended
			})
		})
	}
}

func TestAnAppThatIsCutOffDuringHelloWasNeverInSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := Dial(t.Context(), Options{
			Name: "viewer", OutOfSync: func(error) { t.Error("was never in sync") },
			dial: func(context.Context) (*ipc.Conn, error) {
				theirs, ours := ipc.Pipe()
				go theirs.Serve(context.Background(), func(_ context.Context, c *ipc.Conn, _ string, _ json.RawMessage, _ bool) (any, error) {
					c.Close("stopping")
					return nil, nil
				})
				return ours, nil
			},
		})
		if !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestRunReturnsToTheAgentAndIsToldOncePerLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var agents []*agent
		var story []string
		dials := 0
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, Options{
				Name: "viewer",
				Admitted: func(c *Client) {
					var sent protocol.SendParams
					err := c.Call(ctx, protocol.MethodSend, protocol.SendParams{ID: c.Hello().App}, &sent)
					story = append(story, fmt.Sprint("admitted and sent ", sent.ID, err))
				},
				Event: func(_ context.Context, e *Event) protocol.EventAnswer {
					story = append(story, "event")
					return heard
				},
				OutOfSync: func(error) { story = append(story, "out of sync") },
				dial: func(context.Context) (*ipc.Conn, error) {
					if dials++; dials < 4 || dials == 5 || dials == 6 {
						return nil, fs.ErrNotExist
					}
					theirs, ours := ipc.Pipe()
					agents = append(agents, newAgent(t, theirs, protocol.Version))
					return ours, nil
				},
			})
		}()
		for n := range 2 {
			time.Sleep(longestPause) // within the bubble
			synctest.Wait()
			if len(agents) != n+1 {
				t.Fatalf("%d connections, want %d", len(agents), n+1)
			}
			if err := agents[n].conn.Notify("event", []byte(patientOpen)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n == 0 {
				agents[n].conn.Close("stopping")
			}
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for _, a := range agents {
			<-a.ended
		}
		if want := []string{"out of sync", "admitted and sent viewer<nil>", "event", "out of sync", "admitted and sent viewer<nil>", "event"}; !slices.Equal(story, want) {
			t.Errorf("the app lived through %q, want %q", story, want)
		}
	})
}

func TestRunGivesUpWhenRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a *agent
		err := Run(t.Context(), Options{Name: "viewer", dial: func(context.Context) (*ipc.Conn, error) {
			theirs, ours := ipc.Pipe()
			a = newAgent(t, theirs, 0)
			return ours, nil
		}})
		var e *protocol.Error
		if !errors.As(err, &e) || e.Code != protocol.CodeVersion {
			t.Error(err)
		}
		<-a.ended
	})
}

func TestRunReadsTheKeyOfEachAgent(t *testing.T) {
	for _, row := range []struct {
		name    string
		options Options
		dials   int // until it is admitted, or gives up
	}{
		{"a key that is read is read until the agent has written it", Options{ReadKey: keys("yesterday", "yesterday", "today")}, 3},
		{"a key that is fixed is refused for good", Options{Key: "yesterday"}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var agents []*agent
				admitted := false
				o := row.options
				o.Name, o.Admitted = "viewer", func(*Client) { admitted = true; cancel() }
				o.dial = func(context.Context) (*ipc.Conn, error) {
					theirs, ours := ipc.Pipe()
					agents = append(agents, newAgent(t, theirs, protocol.Version))
					agents[len(agents)-1].key = "today"
					return ours, nil
				}
				err := Run(ctx, o)
				if len(agents) != row.dials || admitted != (o.ReadKey != nil) {
					t.Errorf("%d tries, admitted %v: %v", len(agents), admitted, err)
				}
				cancel()
				for _, a := range agents {
					<-a.ended
				}
			})
		})
	}
	refuses := errors.New("no file")
	if _, err := Dial(t.Context(), Options{ReadKey: func() (string, error) { return "", refuses }}); !errors.Is(err, refuses) {
		t.Error(err)
	}
}

// keys gives one key after the other.
func keys(list ...string) func() (string, error) {
	return func() (string, error) {
		key := list[0]
		list = list[1:]
		return key, nil
	}
}

func TestPausesGrowAndAreSpread(t *testing.T) {
	for tries, longest := range []time.Duration{firstPause, 2 * firstPause, 4 * firstPause, 8 * firstPause} {
		if d := pause(tries); d < longest/2 || d >= longest {
			t.Errorf("try %d: %v", tries, d)
		}
	}
	if d := pause(1000); d < longestPause/2 || d >= longestPause {
		t.Errorf("after long: %v", d)
	}
}
