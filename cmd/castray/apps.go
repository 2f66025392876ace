package main

import (
	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) appsCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "apps",
		Short: "List the apps that follow and what became of the last they were told",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			raw, err := t.ask(cmd.Context(), "apps", protocol.MethodApps, protocol.Empty{})
			if err != nil {
				return err
			}
			if t.json {
				return t.printJSON(raw)
			}
			r, err := decoded[protocol.AppsResult](raw)
			if err != nil {
				return err
			}
			for _, a := range r.Apps {
				if err := t.print("%s", appLine(a)); err != nil {
					return err
				}
			}
			if len(r.Apps) == 0 {
				t.say("No app follows.")
			}
			return nil
		},
	})
}
