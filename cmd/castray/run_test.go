package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/agent/tray"
	"github.com/castray/castray/ipc/protocol"
)

// What is clicked in the tray is what the commands ask for; the link goes to the clipboard, and nowhere else.
func TestClicksInTheTray(t *testing.T) {
	v := newAviary(t)
	settings, err := config.Load(config.Sources{File: v.box.Info().ConfigFile})
	if err != nil {
		t.Fatal(err)
	}
	tool, _ := v.tool("")
	cfg := agent.Config{Settings: settings, Address: v.address, Log: slog.New(slog.NewTextHandler(v.said, nil))}
	tool.machine(&cfg)
	c := tool.cockpit(cfg)
	copied := make(chan string, 1)
	c.copy = func(_ context.Context, text string) error {
		copied <- text
		return nil
	}
	var running life
	running.live(t.Context(), c.agent.Run)
	v.said.waits(t, "msg=ready")

	c.command(t.Context(), tray.CopyLink)
	link := <-copied
	if !strings.HasPrefix(link, v.box.Info().EHRURL[:20]) || !strings.Contains(link, "/auth/") {
		t.Error(link)
	}
	v.hidePage(link)
	if err := browse(t.Context(), v.box.Info().CAFile, link); err != nil {
		t.Fatal(err)
	}
	v.said.waits(t, "is=no_context")
	for _, click := range []struct {
		tray.Command
		becomes protocol.Phase
	}{{tray.Pause, protocol.PhasePaused}, {tray.Resume, protocol.PhaseNoContext}, {tray.SignOut, protocol.PhaseSignedOut}, {tray.SignIn, protocol.PhaseNoContext},
		{tray.SignOut, protocol.PhaseSignedOut}, {tray.SignInAt("Sandbox"), protocol.PhaseNoContext}, {tray.SwitchUser, protocol.PhaseNoContext}} {
		c.command(t.Context(), click.Command)
		v.becomes(c.agent, click.becomes)
	}
	c.command(t.Context(), tray.Resync)
	if strings.Contains(v.said.String(), "did not work") {
		t.Error(v.said)
	}
	c.command(t.Context(), tray.Quit)
	<-running.ended
	if err := running.end(); err != nil {
		t.Error(err)
	}
	v.search("the log", v.said.String())
	v.search("the tray", v.tray.String())
}

// becomes waits for a phase.
func (v *aviary) becomes(a *agent.Agent, phase protocol.Phase) {
	v.Helper()
	for late := time.After(20 * time.Second); a.Status().Phase != phase; {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-late:
			v.Fatalf("the phase is %s, never %s", a.Status().Phase, phase)
		}
	}
}
