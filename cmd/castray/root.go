package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/agent/config"
)

// run runs one command line and returns the exit code.
func (t *tool) run(ctx context.Context, args []string) int {
	root := t.root()
	// What goes wrong before a command begins was typed wrong: an unknown command or flag, an argument too many.
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	root.SetArgs(args)
	root.SetIn(t.stdin)
	root.SetOut(t.stdout)
	root.SetErr(t.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if !begun {
		err = usagef("%s", strings.TrimSpace(err.Error()))
	}
	code, sentence := judge(err)
	t.say("%s", sentence)
	if code == exitUsage {
		t.say("See: %s --help", cmd.CommandPath())
	}
	return code
}

func (t *tool) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "castray",
		Short: "Native apps on this computer follow the patient in focus",
		Long: `Castray signs you in to a hospital's FHIRcast session and lets native apps on this computer follow the patient and
study in focus. "castray demo" shows it without a hospital. "castray run" is the agent; the other commands talk to it.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.Help(); err != nil {
				return err
			}
			if _, _, err := t.settings(); errors.Is(err, config.ErrNone) {
				t.say("\nNothing is configured yet. Try: castray demo\nFor a hospital: castray setup")
			}
			return nil
		},
	}
	root.PersistentFlags().StringVar(&t.configFile, "config", "", "configuration `FILE`, instead of the user's own")
	root.PersistentFlags().StringVar(&t.socket, "socket", "", "`ADDR`ess of the agent: a socket or pipe name, or ws://127.0.0.1:PORT/v1 of the user's own agent (default $CASTRAY_SOCKET, then the user's own)")
	root.AddCommand(
		t.runCommand(), t.demoCommand(), t.sandboxCommand(),
		t.setupCommand(), t.loginCommand(), t.logoutCommand(), t.launchCommand(), t.lockCommand(), t.userSwitchCommand(),
		t.statusCommand(), t.appsCommand(), t.contextCommand(), t.watchCommand(), t.sendCommand(),
		t.pauseCommand(), t.resumeCommand(), t.resyncCommand(), t.clearCommand(), t.quitCommand(),
		t.configCommand(), t.versionCommand(),
	)
	return root
}

// jsonFlag gives a command that prints data the flag --json.
func (t *tool) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&t.json, "json", false, "print JSON, one value a line")
	return cmd
}

// env is a variable of the environment, "" when it is not set.
func (t *tool) env(name string) string {
	for _, v := range t.environ {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// hostName is this workstation's name, for what the hub shows; it is nothing to fail about.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "workstation"
	}
	return name
}
