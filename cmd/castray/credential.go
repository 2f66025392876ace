package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
)

func (t *tool) configSecretCommand() *cobra.Command {
	var site string
	var piped bool
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "Keep the secret that a site gave this installation, in the keychain",
		Long: `Asks for the secret of a site with auth = "secret", without showing it, and keeps it in the keychain of this user. It is
never an argument, a variable or part of a file. With --stdin it is one line of the standard input.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := t.chosenSite(site)
			if err != nil {
				return err
			}
			var secret string
			if piped {
				secret, err = t.readLine(cmd.Context())
			} else {
				secret, err = t.readHidden(cmd.Context(), fmt.Sprintf("The secret of %s for the client %s:", s.Name, s.ClientID))
			}
			if err != nil {
				return err
			}
			if err := t.keychain().KeepSecret(cmd.Context(), s, secret); err != nil {
				return failf(exitFailed, "%s", err)
			}
			t.say("It is in the keychain. An agent that runs takes it at its next request.")
			t.hintAuth(s, "secret")
			return nil
		},
	}
	cmd.Flags().StringVar(&site, "site", "", "`NAME` of the site, as configured (default the only one)")
	cmd.Flags().BoolVar(&piped, "stdin", false, "read it from the standard input instead of asking")
	return cmd
}

func (t *tool) configKeysCommand() *cobra.Command {
	var site, alg string
	var replace bool
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "jwks",
		Short: "Print the public key to register at a site",
		Long: `Prints the key set (JWKS) to register for a site with auth = "private_key_jwt". If there is no key yet it is made; the
private half stays in the keychain of this user.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch alg {
			case "", "ES384", "RS384":
			default:
				return usagef("--alg is ES384 or RS384.")
			}
			s, err := t.chosenSite(site)
			if err != nil {
				return err
			}
			set, made, err := t.keychain().PublicKeys(cmd.Context(), s, alg, replace)
			if err != nil {
				return failf(exitFailed, "%s", err)
			}
			if made {
				t.say("A key was made, and is in the keychain. Register this at the sign-in server of %s:", s.Name)
			}
			t.hintAuth(s, "private_key_jwt")
			if t.json {
				return t.printJSON(set)
			}
			var lines bytes.Buffer
			if err := json.Indent(&lines, set, "", "  "); err != nil {
				return err
			}
			return t.print("%s", lines.String())
		},
	})
	cmd.Flags().StringVar(&site, "site", "", "`NAME` of the site, as configured (default the only one)")
	cmd.Flags().StringVar(&alg, "alg", "", "`ALG`orithm of a key that is made: ES384, or RS384 where a server knows no other (default ES384)")
	cmd.Flags().BoolVar(&replace, "replace", false, "make another key; the registration of the one there is ends")
	return cmd
}

// chosenSite is the configured site of that name, or the only one.
func (t *tool) chosenSite(name string) (*config.Site, error) {
	settings, paths, err := t.settings()
	switch {
	case errors.Is(err, config.ErrNone):
		return nil, nothingConfigured(paths)
	case err != nil:
		return nil, failf(exitFailed, "%s", err)
	case len(settings.Sites) == 0:
		return nil, failf(exitFailed, "The hub is joined without sign-in, so there is nobody to prove oneself to. A [[site]] is needed for that.")
	}
	var names []string
	for i := range settings.Sites {
		s := &settings.Sites[i]
		if s.Name == name || name == "" && len(settings.Sites) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return nil, usagef("Name one of the sites with --site: %s.", strings.Join(names, ", "))
}

// hintAuth is for who keeps something that the site is not set to use.
func (t *tool) hintAuth(s *config.Site, auth string) {
	if s.Auth != auth {
		t.say("The site does not use it yet: set auth = %q in its [[site]].", auth)
	}
}

// keychain is as much of an agent as its keychain.
func (t *tool) keychain() agent.Config {
	var c agent.Config
	t.machine(&c)
	return c
}
