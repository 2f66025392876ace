package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) resumeCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "resume [APP]",
		Short: "Follow again, and say which apps are told of another context than they had",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p protocol.ResumeParams
			if len(args) > 0 {
				p.App = args[0]
			}
			raw, err := t.ask(cmd.Context(), "resume", protocol.MethodResume, p)
			if err != nil {
				return err
			}
			r, err := decoded[protocol.ResumeResult](raw)
			if err != nil {
				return err
			}
			sentence := "Resumed. Nothing changes for any app."
			if len(r.Changes) > 0 {
				sentence = "Resumed. These apps are told of another context: " + strings.Join(r.Changes, ", ")
			}
			return t.done(raw, sentence)
		},
	})
}
