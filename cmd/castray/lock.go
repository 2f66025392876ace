package main

import (
	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) lockCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "lock",
		Short: "Do what locking the screen does; for the hooks of a badge reader",
		Long: `Do what locking the screen does. On a workstation of one user the sign-in is kept and apps follow on; "castray resume"
or unlocking the screen ends it. On a shared workstation ([session] shared = true) it signs out and clears the apps.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd.Context(), "lock", protocol.MethodLock, protocol.Empty{},
				"Locked. castray status says how it is, also whether an app may still show a patient.")
		},
	})
}

func (t *tool) userSwitchCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "user-switch",
		Short: "Sign out and let the next user sign in; for the hooks of a badge reader",
		Long: `Sign out, clear the apps, and open the browser for the next user, at the same site. The sign-in server is asked to ask who
it is, whatever the browser remembers. It does not wait for the sign-in; "castray login" would.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd.Context(), "user-switch", protocol.MethodUserSwitch, protocol.Empty{},
				"Signed out. The next user signs in with the browser.")
		},
	})
}
