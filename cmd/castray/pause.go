package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) pauseCommand() *cobra.Command {
	var length time.Duration
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "pause [APP]",
		Short: "Stop following: leave the session, or take one app out of those that count",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p protocol.PauseParams
			if cmd.Flags().Changed("for") {
				if length <= 0 {
					return usagef("--for wants a time such as 15m.")
				}
				p.For = length.String()
			}
			sentence := "Paused: no app follows. To go on: castray resume"
			if len(args) > 0 {
				p.App = args[0]
				sentence = "Paused " + p.App + ". To go on: castray resume " + p.App
			}
			return t.do(cmd.Context(), "pause", protocol.MethodPause, p, sentence)
		},
	})
	cmd.Flags().DurationVar(&length, "for", 0, "resume by itself after this `TIME`, such as 15m")
	return cmd
}
