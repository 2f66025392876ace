package main

import (
	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) clearCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "clear",
		Short: "Have every app show no patient, until the next change or resync",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd.Context(), "clear", protocol.MethodClear, protocol.Empty{},
				"Every app was told to show no patient; castray apps says which did. To bring the patient back: castray resync")
		},
	})
}
