package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

func (t *tool) demoCommand() *cobra.Command {
	d := &demo{tool: t, answer: 200, patience: 15 * time.Second, person: 5 * time.Minute}
	var noBrowser bool
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "demo",
		Short: "Show it all on this computer: an invented hospital, the agent and an app that follows",
		Long: `Runs a sandbox, an agent and one sample app in one process. Configuration, policy, environment and keychain are left
alone, and everything is in a temporary folder that goes with it. With --once it checks itself: it opens a patient and a
study, sees the app follow, closes them, and ends; the exit code says whether all of that happened.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.configFile != "" || t.socket != "" {
				return usagef("The demo has a configuration and a socket of its own.")
			}
			d.browser, d.icon = !noBrowser, !d.once
			return d.run(cmd.Context())
		},
	})
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "sign in without a browser, as the first user")
	cmd.Flags().BoolVar(&d.once, "once", false, "play every step once, then end")
	return cmd
}

// A demo is one run of castray demo.
type demo struct {
	*tool
	browser, once bool
	icon          bool // in the tray, where there is one

	answer   int           // of the sample app to each event
	patience time.Duration // for each step
	person   time.Duration // how long one may take in the browser
	stage    *stage
}

func (d *demo) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "castray-demo-")
	if err != nil {
		return d.failed("sandbox", "", time.Now(), err)
	}
	defer os.RemoveAll(dir)
	address := demoAddress(runtime.GOOS, dir)
	d.hint("This demo is in %s; its socket is %s", dir, address)
	d.stage = newStage(d, dir, address)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	played := make(chan error, 1)
	go func() {
		defer stop()
		played <- d.play(ctx)
	}()
	if d.icon {
		select {
		case <-d.stage.started: // this is the main goroutine, which the tray wants
			d.stage.cockpit.show(ctx, stop)
		case <-ctx.Done():
		}
	}
	return <-played
}

// demoAddress is a socket in the demo's folder. Windows has pipes instead, which are in no folder.
func demoAddress(goos, dir string) string {
	if goos == "windows" {
		return `\\.\pipe\` + filepath.Base(dir)
	}
	return filepath.Join(dir, "castray.sock")
}

// play goes through the steps. Whatever was started has ended when it returns.
func (d *demo) play(ctx context.Context) error {
	s := d.stage
	err := d.begin(ctx)
	if err == nil && d.once {
		err = d.follow(ctx)
	}
	if err == nil && !d.once {
		d.invite(ctx)
		<-ctx.Done()
	}
	if err != nil {
		s.strike()
		return err
	}
	// An interrupt ends the waiting above, and must not cut the polite end short.
	return d.step(context.WithoutCancel(ctx), "closed", "", d.patience, s.close)
}

// begin is everything up to an app that could follow.
func (d *demo) begin(ctx context.Context) error {
	s := d.stage
	if err := d.step(ctx, "sandbox", "", d.patience, s.openHospital); err != nil {
		return err
	}
	if err := d.step(ctx, "agent", "", d.patience, s.startAgent); err != nil {
		return err
	}
	signIn, within := s.signIn, d.patience
	if d.browser {
		signIn, within = s.signInByBrowser, d.person
	}
	if err := d.step(ctx, "signin", "", within, signIn); err != nil {
		return err
	}
	return d.step(ctx, "subscribed", "", d.patience, s.subscribed)
}

// The patient and the study that are opened; everybody in the sandbox is invented.
const (
	demoPatient = "p01"
	demoStudy   = "p01-s1"
)

func (d *demo) follow(ctx context.Context) error {
	for _, o := range []struct{ kind, id string }{{"Patient", demoPatient}, {"ImagingStudy", demoStudy}} {
		name, event := o.kind+"-open", ""
		err := d.step(ctx, "open", name, d.patience, func(ctx context.Context) (err error) {
			event, err = d.stage.box.Open(ctx, "", o.kind, o.id)
			return err
		})
		if err != nil {
			return err
		}
		err = d.step(ctx, "followed", name, d.patience, func(ctx context.Context) error { return d.stage.followed(ctx, event) })
		if err != nil {
			return err
		}
	}
	return nil
}

// invite shows the page on which a person goes on.
func (d *demo) invite(ctx context.Context) {
	page := d.stage.box.Info().EHRURL
	d.hint("Open a patient on the EHR page, and see the viewer follow: %s", page)
	d.hint("To stop: Ctrl-C")
	if d.browser {
		d.stage.open(ctx, page)
	}
}

// A report is a line of castray demo --json.
type report struct {
	Step   string `json:"step"`
	Event  string `json:"event,omitempty"`
	OK     bool   `json:"ok"`
	MS     int64  `json:"ms"`
	Detail string `json:"detail,omitempty"`
}

// step does one step within its time and tells how it went.
func (d *demo) step(ctx context.Context, name, event string, within time.Duration, do func(context.Context) error) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := do(ctx); err != nil {
		return d.failed(name, event, began, err)
	}
	r := report{Step: name, Event: event, OK: true, MS: time.Since(began).Milliseconds()}
	if d.json {
		return d.printJSON(r)
	}
	return d.print("%-10s %-18s ok  %d ms", r.Step, r.Event, r.MS)
}

func (d *demo) failed(name, event string, began time.Time, err error) error {
	if d.json {
		r := report{Step: name, Event: event, MS: time.Since(began).Milliseconds(), Detail: err.Error()}
		if e := d.printJSON(r); e != nil {
			return e
		}
	}
	if event != "" {
		name += " of " + event
	}
	return failf(exitFailed, "The demo has failed at the step %q: %s", name, err)
}

// hint says something beside the steps: among the lines for a person, but not among JSON.
func (d *demo) hint(format string, args ...any) {
	if d.json {
		d.say(format, args...)
		return
	}
	_ = d.print(format, args...) // a step tells of an output that has gone
}
