package main

import (
	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) logoutCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "logout",
		Short: "Sign out: clear the apps, end the sign-in and forget it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd.Context(), "logout", protocol.MethodSignout, protocol.Empty{},
				"Signed out. castray status says whether an app may still show a patient.")
		},
	})
}
