package tray

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/castray/castray/ipc/protocol"
)

// fakeScreen remembers what it was asked to draw. A send on block lets one call through; nil lets all.
type fakeScreen struct {
	drawn []string
	block chan struct{}
	err   error // of setIcon
}

func (s *fakeScreen) add(what string) {
	if s.block != nil {
		<-s.block
	}
	s.drawn = append(s.drawn, what)
}

func (s *fakeScreen) setIcon(phase protocol.Phase) error {
	s.add("icon " + string(phase))
	return s.err
}

func (s *fakeScreen) setTooltip(text string) { s.add("tooltip " + text) }

func (s *fakeScreen) setItem(_ int, was, is Item) {
	s.add(fmt.Sprintf("%q (%v) becomes %q (%v)", was.Text, was.Enabled, is.Text, is.Enabled))
}

func (s *fakeScreen) flush() { s.add("flush") }

func (s *fakeScreen) take() []string {
	d := s.drawn
	s.drawn = nil
	return d
}

// start runs the loop on a screen that has drawn v, and returns the clicks and a function that stops it.
func start(t *testing.T, tray *Tray, s *fakeScreen, v View) (chan<- Command, func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	clicks := make(chan Command)
	ended := make(chan error, 1)
	go func() { ended <- tray.loop(ctx, s, clicks, pictureOf(v)) }()
	return clicks, func() error {
		cancel()
		return <-ended
	}
}

func noCommand(context.Context, Command) {}

func TestOnlyWhatChangedIsDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tray, v := &fakeScreen{}, New(noCommand, nil), View{Status: status()}
		_, stop := start(t, tray, s, v)

		tray.Show(v) // the agent says the same every 30 s
		synctest.Wait()
		if d := s.take(); d != nil {
			t.Errorf("nothing changed, drawn was %q", d)
		}

		v.Status.Counters.Events++ // not shown
		v.Status.Apps = slices.Clone(v.Status.Apps)
		v.Status.Apps[1].Outcome = protocol.OutcomeSilent
		v.Status.Phase, v.Status.Sentence = protocol.PhaseAttention, "report_pad did not follow"
		tray.Show(v)
		synctest.Wait()
		was, is := pictureOf(View{Status: status()}).items[4].Text, pictureOf(v).items[4].Text
		want := []string{
			"icon attention",
			"tooltip report_pad did not follow",
			`"In sync, 2 apps follow" (true) becomes "report_pad did not follow" (true)`,
			fmt.Sprintf("%q (true) becomes %q (true)", was, is),
			"flush",
		}
		if d := s.take(); !slices.Equal(d, want) {
			t.Errorf("drawn was %q\nwant %q", d, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestNewestViewWinsAndShowNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tray := &fakeScreen{block: make(chan struct{})}, New(noCommand, nil)
		v := View{Status: status()}
		for i := range 10 { // nobody runs the loop yet
			v.Status.Sentence = fmt.Sprint("before ", i)
			tray.Show(v)
		}
		_, stop := start(t, tray, s, View{Status: status()})
		synctest.Wait() // the screen hangs in the first call
		for i := range 10 {
			v.Status.Sentence = fmt.Sprint("after ", i)
			tray.Show(v)
		}
		close(s.block)
		synctest.Wait()
		var tips []string
		for _, d := range s.take() {
			var tip string
			if n, _ := fmt.Sscanf(d, "tooltip %s", &tip); n == 1 {
				tips = append(tips, d)
			}
		}
		if want := []string{"tooltip before 9", "tooltip after 9"}; !slices.Equal(tips, want) {
			t.Errorf("drawn were %q, want %q", tips, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestACommandAtWorkHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan Command, 10)
		release := make(chan struct{})
		tray := New(func(_ context.Context, c Command) {
			began <- c
			if c == SignIn {
				<-release
			}
		}, nil)
		s := &fakeScreen{}
		clicks, stop := start(t, tray, s, View{Status: status()})
		for _, c := range []Command{SignIn, SignIn, Pause, Pause, SignIn} {
			clicks <- c
			synctest.Wait()
		}
		v := View{Status: status()}
		v.Status.Phase = protocol.PhaseOffline
		tray.Show(v)
		synctest.Wait()
		if len(s.take()) == 0 {
			t.Error("nothing is drawn while a command is at work")
		}
		release <- struct{}{}
		synctest.Wait()
		clicks <- SignIn
		synctest.Wait()
		release <- struct{}{}
		synctest.Wait()
		close(began)
		var got []Command
		for c := range began {
			got = append(got, c)
		}
		if want := []Command{SignIn, Pause, Pause, SignIn}; !slices.Equal(got, want) {
			t.Errorf("began %q, want %q", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAClickOnAGreyLineDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []Command
		tray := New(func(_ context.Context, c Command) { got = append(got, c) }, nil)
		clicks, stop := start(t, tray, &fakeScreen{}, View{Status: status()})
		clicks <- Resume
		v := View{Status: status()}
		v.Status.Phase = protocol.PhasePaused
		tray.Show(v)
		synctest.Wait()
		clicks <- Pause
		clicks <- Resume
		synctest.Wait()
		if want := []Command{Resume}; !slices.Equal(got, want) {
			t.Errorf("done were %q, want %q", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// The bubble fails this test when a command outlives the loop.
func TestEndStopsCommandsAndWaitsForThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		tray := New(func(ctx context.Context, _ Command) {
			<-ctx.Done()
			ended = true
		}, nil)
		clicks, stop := start(t, tray, &fakeScreen{}, View{Status: status()})
		clicks <- SignIn
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if !ended {
			t.Error("the command was left behind")
		}
	})
}

func TestAScreenThatIsGoneEndsTheTray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, tray := &fakeScreen{err: ErrNoTray}, New(noCommand, nil)
		_, stop := start(t, tray, s, View{Status: status()})
		v := View{Status: status()}
		v.Status.Phase = protocol.PhaseOffline
		tray.Show(v)
		synctest.Wait()
		if d, want := s.take(), []string{"icon offline"}; !slices.Equal(d, want) {
			t.Errorf("drawn was %q, want %q", d, want)
		}
		if err := stop(); !errors.Is(err, ErrNoTray) {
			t.Errorf("ended with %v", err)
		}
		tray.Show(v) // still takes what it is given
		tray.Show(v)
	})
}
