package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

// A summons is what castray launch was asked to hand over, and from where.
type summons struct {
	iss, launchFile string
	hub, topicFile  string
	file            string
	accept, decline bool
}

func (t *tool) launchCommand() *cobra.Command {
	var s summons
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "launch [URL]",
		Short: "Hand the launch of an EHR to the running agent, or answer one that waits",
		Long: `Hands a launch to the agent that runs, and starts none. The operating system calls it with a castray://launch link, or with
the end of a sign-in at io.github.castray://callback. Programs should not, since others can read the arguments of this one:
they say the launch by a file or the standard input.

  castray launch --iss https://ehr.example.org/fhir --launch-file -
  castray launch --hub https://hub.example.org/fhircast --topic-file -
  castray launch --file FILE    one line, a link or its query

Where somebody is signed in the agent asks first. --accept and --decline answer, as its menu does.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch method, err := s.answer(args); {
			case err != nil:
				return err
			case method == protocol.MethodLaunchAccept:
				return t.do(cmd.Context(), "launch", method, protocol.Empty{}, "Accepted. castray status says how it goes.")
			case method == protocol.MethodLaunchDecline:
				return t.do(cmd.Context(), "launch", method, protocol.Empty{}, "Declined.")
			}
			raw, err := t.readSummons(s, args)
			if err != nil {
				return err
			}
			return t.handOver(cmd.Context(), raw)
		},
	})
	cmd.Flags().StringVar(&s.iss, "iss", "", "FHIR base `URL` of the EHR that launches")
	cmd.Flags().StringVar(&s.launchFile, "launch-file", "", "`FILE` with its launch value, - for the standard input")
	cmd.Flags().StringVar(&s.hub, "hub", "", "`URL` of a hub whose session is handed over")
	cmd.Flags().StringVar(&s.topicFile, "topic-file", "", "`FILE` with its topic, - for the standard input")
	cmd.Flags().StringVar(&s.file, "file", "", "`FILE` with a launch link, - for the standard input")
	cmd.Flags().BoolVar(&s.accept, "accept", false, "accept the launch that waits")
	cmd.Flags().BoolVar(&s.decline, "decline", false, "decline the launch that waits")
	return cmd
}

// answer is the method of an answer, "" for a launch. Just one thing is asked for at a time.
func (s summons) answer(args []string) (method string, err error) {
	asked := 0
	for _, one := range []bool{len(args) > 0, s.iss != "" || s.launchFile != "", s.hub != "" || s.topicFile != "", s.file != "", s.accept, s.decline} {
		if one {
			asked++
		}
	}
	switch {
	case asked != 1:
		return "", usagef("Say one launch: a URL, --iss with --launch-file, --hub with --topic-file, or --file; or --accept or --decline.")
	case (s.iss == "") != (s.launchFile == ""):
		return "", usagef("--iss and --launch-file go together.")
	case (s.hub == "") != (s.topicFile == ""):
		return "", usagef("--hub and --topic-file go together.")
	case s.accept:
		return protocol.MethodLaunchAccept, nil
	case s.decline:
		return protocol.MethodLaunchDecline, nil
	}
	return "", nil
}

// readSummons is the launch as the agent takes it: a link, or the query alone.
func (t *tool) readSummons(s summons, args []string) (string, error) {
	switch {
	case len(args) > 0:
		return args[0], nil
	case s.iss != "":
		value, err := t.readLaunchFile(s.launchFile)
		return "?" + url.Values{"iss": {s.iss}, "launch": {value}}.Encode(), err
	case s.hub != "":
		value, err := t.readLaunchFile(s.topicFile)
		return "?" + url.Values{"hub.url": {s.hub}, "hub.topic": {value}}.Encode(), err
	}
	link, err := t.readLaunchFile(s.file)
	if err != nil {
		return "", err
	}
	// Whatever address the EHR wrote before it: a file is not what launch.scheme switches off.
	_, query, ok := strings.Cut(link, "?")
	if !ok {
		return "", usagef("The file has to hold a launch link in one line, such as castray://launch?iss=..&launch=..")
	}
	return "?" + query, nil
}

// readLaunchFile reads one line. Its end is no part of the value, and everything else is.
func (t *tool) readLaunchFile(file string) (string, error) {
	const most = 64 << 10
	in := t.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("launch: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return "", fmt.Errorf("launch: %w", err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(string(text), "\ufeff"), "\n"), "\r")
	if len(text) > most || value == "" || strings.ContainsAny(value, "\r\n") {
		return "", usagef("A launch has to be one line of at most 64 KiB.")
	}
	return value, nil
}

// handOver gives a launch to the running agent and says what becomes of it.
func (t *tool) handOver(ctx context.Context, raw string) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := t.control(ctx, "launch", client.Options{})
	if err != nil {
		return err
	}
	defer hangUp(c)
	var result json.RawMessage
	if err := c.Call(ctx, protocol.MethodLaunch, protocol.LaunchParams{URL: raw}, &result); err != nil {
		return err
	}
	var s protocol.Status
	if err := c.Call(ctx, protocol.MethodStatus, protocol.Empty{}, &s); err != nil {
		return err
	}
	redirect := strings.HasPrefix(raw, "io.github.castray:") // the end of a sign-in: what waits has nothing to do with it
	if sentence, waits := problemOf(s, "launch_waiting"); waits && !redirect {
		return t.done(result, sentence+" To answer: castray launch --accept, or --decline")
	}
	return t.done(result, "The agent has it. castray status says how it goes.")
}
