package main

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/agent/config"
)

// settings loads the configuration. The error may be config.ErrNone.
func (t *tool) settings() (*config.Config, config.Paths, error) {
	paths := config.PathsFor(runtime.GOOS, t.environ)
	settings, err := config.Load(config.Sources{Paths: paths, File: t.configFile, Environ: t.environ})
	return settings, paths, err
}

// nothingConfigured says the next step.
func nothingConfigured(paths config.Paths) error {
	file := paths.User
	if file == "" {
		file = "castray.toml, and name it with --config"
	}
	return failf(exitFailed, "No hub and no site is configured. To try Castray without a hospital: castray demo\nTo be asked and have it looked up: castray setup\nElse write %s, such as:\n\n%s", file, config.Example())
}

func (t *tool) configCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "config",
		Short: "Show or check the configuration",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usagef("config needs one of: show, validate, schema, secret, jwks")
		},
	}
	group.AddCommand(t.configShowCommand(), t.configValidateCommand(), t.configSecretCommand(), t.configKeysCommand(), &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON schema of the configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return t.print("%s", strings.TrimRight(string(config.Schema()), "\n"))
		},
	})
	return group
}

func (t *tool) configShowCommand() *cobra.Command {
	var origin bool
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "show",
		Short: "Print every key with its value",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, _, err := t.settings()
			if err != nil && !errors.Is(err, config.ErrNone) {
				return failf(exitFailed, "%s", err)
			}
			if t.json {
				return t.printJSON(struct {
					Settings []config.Origin `json:"settings"`
				}{settings.Origins()})
			}
			for _, o := range settings.Origins() {
				line := o.Key + " = " + o.Value
				if origin {
					line = fmt.Sprintf("%-60s # %s", line, o.From)
				}
				if err := t.print("%s", line); err != nil {
					return err
				}
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&origin, "origin", false, "say where each value came from")
	return cmd
}

func (t *tool) configValidateCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "validate",
		Short: "Check the configuration",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, paths, err := t.settings()
			report := struct {
				Valid    bool     `json:"valid"`
				Problems []string `json:"problems"`
				Warnings []string `json:"warnings"`
			}{Valid: err == nil, Problems: []string{}, Warnings: []string{}}
			if err != nil {
				report.Problems = strings.Split(err.Error(), "\n")
			}
			if settings != nil {
				report.Warnings = append(report.Warnings, settings.Warnings...)
			}
			if t.json {
				if e := t.printJSON(report); e != nil {
					return e
				}
			}
			for _, w := range report.Warnings {
				t.say("%s", w)
			}
			switch {
			case errors.Is(err, config.ErrNone):
				return nothingConfigured(paths)
			case err != nil:
				return failf(exitFailed, "%s", err)
			}
			t.say("The configuration is valid.")
			return nil
		},
	})
}
