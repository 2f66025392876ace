package main

import (
	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) contextCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "context",
		Short: "Print which patient and study are current",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := t.ask(cmd.Context(), "context", protocol.MethodContext, protocol.Empty{})
			if err != nil {
				return err
			}
			if t.json {
				return t.printJSON(raw)
			}
			r, err := decoded[protocol.ContextResult](raw)
			if err != nil {
				return err
			}
			if len(r.Current) == 0 {
				t.say("Nothing is current.")
			} else if err := t.print("current  %s", describe(r.Current)); err != nil {
				return err
			}
			for _, open := range r.Open {
				if err := t.print("open     %s", describe(open)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
