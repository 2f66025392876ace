package main

import (
	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) resyncCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "resync",
		Short: "Read the context again and tell it to every app",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd.Context(), "resync", protocol.MethodResync, protocol.Empty{}, "Every app is told again.")
		},
	})
}
