package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/agent/sandbox"
)

func (t *tool) sandboxCommand() *cobra.Command {
	var c sandbox.Config
	var misbehave, replay string
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve an invented hospital on this computer, to try and test against",
		Long: `Serves a sign-in, a FHIR server, a FHIRcast hub and an EHR page on which patients are opened, until it is ended.
Prints where they are as one line of JSON. Everybody in it is invented, and whoever can reach it may be anybody.

With --misbehave the hub does what hubs in the field do, or speaks as one of another time, and the sign-in what sign-in
servers do, so that any FHIRcast or SMART client can be tried: castray sandbox --misbehave help`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.Users < 1 {
				return usagef("A sandbox has at least one user.")
			}
			if c.LaunchPort < 0 || c.LaunchPort > 65535 {
				return usagef("--launch-port wants a port, 1 to 65535.")
			}
			if misbehave == "help" {
				return t.listFaults()
			}
			if misbehave != "" {
				faults, err := sandbox.ParseFaults(misbehave)
				if err != nil {
					return usagef("For --misbehave %s. List what there is with: castray sandbox --misbehave help", err)
				}
				c.Misbehave = faults
			}
			if replay != "" {
				var err error
				if c.Replay, err = readRecording(replay); err != nil {
					return err
				}
			}
			return t.serveSandbox(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&c.Listen, "listen", "127.0.0.1:0", "loopback `ADDRESS` and port; 0 is any free one")
	cmd.Flags().BoolVar(&c.AutoApprove, "auto-approve", false, "sign in at once as the first user, without pages")
	cmd.Flags().IntVar(&c.Users, "users", 1, "`HOW-MANY` people can sign in, each with a session of their own")
	cmd.Flags().IntVar(&c.LaunchPort, "launch-port", 0, "where the EHR page launches an agent: the `PORT` of its launch.port; 0 shows no link")
	cmd.Flags().StringVar(&c.Dir, "dir", "", "`FOLDER` for certificate and configuration (default a temporary one)")
	cmd.Flags().BoolVar(&c.Secret, "client-secret", false, "the agent has to prove itself by a secret, which the line tells")
	cmd.Flags().StringVar(&misbehave, "misbehave", "", "what hub and sign-in do wrong: a `LIST` of names or name=times, with commas; \"help\" lists them")
	cmd.Flags().StringVar(&replay, "replay", "", "what happens once somebody has subscribed: a `FILE` of castray watch --record")
	return cmd
}

func readRecording(name string) (sandbox.Recording, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	defer file.Close()
	r, err := sandbox.ReadRecording(file)
	if err != nil {
		return nil, failf(exitFailed, "%s cannot be played: %s. Make one with: castray watch --record FILE", name, err)
	}
	return r, nil
}

// listFaults prints what --misbehave takes.
func (t *tool) listFaults() error {
	var table strings.Builder
	for _, f := range sandbox.KnownFaults() {
		fmt.Fprintf(&table, "%-31s %s\n", f.Name, f.Help)
	}
	return t.print("%s", strings.TrimSuffix(table.String(), "\n"))
}

func (t *tool) serveSandbox(ctx context.Context, c sandbox.Config) (err error) {
	if c.Dir == "" {
		if c.Dir, err = os.MkdirTemp("", "castray-sandbox-"); err != nil {
			return fmt.Errorf("folder of the sandbox: %w", err)
		}
		defer os.RemoveAll(c.Dir)
	}
	c.Log = slog.New(slog.NewTextHandler(t.stderr, nil))
	box, err := sandbox.New(ctx, c)
	if err != nil {
		return failf(exitFailed, "%s", err)
	}
	// Whoever reads the line may connect at once: the listener is open, and Run takes what waits there.
	if err := t.printJSON(box.Info()); err != nil {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_ = box.Run(gone) // closes the listener
		return err
	}
	return box.Run(ctx)
}
