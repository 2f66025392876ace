package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/agent/tray"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

// memoryLimit is where Go begins to collect harder. An agent needs far less; on a terminal server fifty of them share
// the machine.
const memoryLimit = 64 << 20

func (t *tool) runCommand() *cobra.Command {
	var noTray bool
	cmd := &cobra.Command{
		Use:   "run [LAUNCH-URL]",
		Short: "Run the agent, with its icon in the tray where there is one",
		Long: `Runs the agent, and hands it the launch link that is given, if one is. Where an agent runs already that one gets the link,
and this one ends.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return t.runAgent(cmd.Context(), !noTray, strings.Join(args, ""))
		},
	}
	cmd.Flags().BoolVar(&noTray, "no-tray", false, "show no icon")
	return cmd
}

// runAgent runs the agent, with a launch to begin with or "".
func (t *tool) runAgent(ctx context.Context, withTray bool, launch string) error {
	if t.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	settings, paths, err := t.settings()
	switch {
	case errors.Is(err, config.ErrNone):
		return nothingConfigured(paths)
	case err != nil:
		return failf(exitFailed, "%s", err)
	}
	address, err := t.address()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(t.stderr, &slog.HandlerOptions{Level: settings.Log.Level}))
	for _, w := range settings.Warnings {
		log.Warn("configuration", "hint", w)
	}
	cfg := agent.Config{Settings: settings, Address: address, StateDir: paths.State, Host: hostName(), Version: version(), Log: log}
	t.machine(&cfg)
	err = t.host(ctx, cfg, withTray, launch)
	if !errors.Is(err, ipc.ErrInUse) {
		return err
	}
	t.say("Castray is already running. castray status says how it is.")
	if launch == "" {
		return nil
	}
	return t.handOver(ctx, launch)
}

// host runs an agent until ctx ends, somebody says quit or the desktop ends. The calling goroutine becomes the tray's.
func (t *tool) host(ctx context.Context, cfg agent.Config, withTray bool, launch string) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := t.cockpit(cfg)
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- c.agent.Run(ctx)
	}()
	if launch != "" {
		launched := make(chan struct{})
		go func() {
			defer close(launched)
			c.launch(ctx, launch)
		}()
		defer func() { <-launched }()
	}
	if withTray {
		c.show(ctx, stop)
	}
	return <-ended
}

// A cockpit is an agent with the tray that shows it.
type cockpit struct {
	agent *agent.Agent
	tray  *tray.Tray
	log   *slog.Logger
	ready chan struct{} // closed at the first Status
	copy  func(ctx context.Context, text string) error
}

func (t *tool) cockpit(cfg agent.Config) *cockpit {
	c := &cockpit{log: cfg.Log, ready: make(chan struct{}), copy: func(ctx context.Context, text string) error {
		return copyText(ctx, clipboards(runtime.GOOS, t.env), text)
	}}
	c.tray = tray.New(c.command, cfg.Log)
	var sites []string
	for _, s := range cfg.Settings.Sites {
		sites = append(sites, s.Name)
	}
	told, ready := cfg.Changed, false
	cfg.Changed = func(s protocol.Status, signingIn bool) { // by the agent's own goroutine
		if !ready {
			ready = true
			close(c.ready)
			cfg.Log.Info("ready", "version", s.Version, "socket", cfg.Address)
		}
		c.tray.Show(tray.View{Status: s, SigningIn: signingIn, Sites: sites})
		if told != nil {
			told(s, signingIn)
		}
	}
	c.agent = agent.New(cfg)
	return c
}

// show is the tray, on the main goroutine, until ctx ends or there is no place for it. Where the desktop itself ends, so
// does the agent.
func (c *cockpit) show(ctx context.Context, stop func()) {
	switch err := c.tray.Run(ctx); {
	case errors.Is(err, tray.ErrNoTray):
		c.log.Info("no tray on this desktop; the agent goes on without")
	case err != nil:
		c.log.Warn("the tray has ended; the agent goes on without")
	default:
		stop()
	}
}

// launch hands the agent the launch that it was started with, once it runs.
func (c *cockpit) launch(ctx context.Context, address string) {
	select {
	case <-c.ready:
	case <-ctx.Done(): // another one runs, say
		return
	}
	params, err := json.Marshal(protocol.LaunchParams{URL: address})
	if err == nil {
		_, err = c.agent.Do(ctx, protocol.MethodLaunch, params)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("the launch that Castray was started with did not work", "because", err.Error())
	}
}

// command does what was clicked.
func (c *cockpit) command(ctx context.Context, click tray.Command) {
	method, params := string(click), json.RawMessage(nil)
	if click == tray.CopyLink {
		// A new attempt rather than the address of the one that waits: who needs the link has no page open that could
		// go stale, and an address that was kept may have been replaced by then.
		method, params = protocol.MethodSignin, json.RawMessage(`{"browser":false}`)
	}
	if site, ok := click.Site(); ok {
		method = protocol.MethodSignin
		params, _ = json.Marshal(protocol.SigninParams{Site: site})
	}
	result, err := c.agent.Do(ctx, method, params)
	if err == nil && click == tray.CopyLink {
		if r, ok := result.(protocol.SigninResult); ok {
			err = c.copy(ctx, r.URL)
		}
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("what was clicked in the tray did not work", "click", string(click), "because", err.Error())
	}
}
