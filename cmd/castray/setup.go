package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/agent"
	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/ipc/client"
)

func (t *tool) setupCommand() *cobra.Command {
	s := &setup{tool: t}
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Ask for a hospital's FHIR address, look at what is there, and write a configuration",
		Long: `Asks for the address of a FHIR server and the name under which Castray is registered there, says what the server tells
of itself, and writes a configuration with comments. What was there before is kept beside it. For scripts: --yes asks nothing
and takes yes for every answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&s.site.FHIRURL, "fhir-url", "", "base `ADDRESS` of the FHIR server")
	cmd.Flags().StringVar(&s.site.ClientID, "client-id", "", "`ID` under which Castray is registered there")
	cmd.Flags().StringVar(&s.site.Name, "name", "", "`NAME` of the site (default what the server is called)")
	cmd.Flags().StringVar(&s.site.CAFile, "ca-file", "", "PEM `FILE` of authorities to trust there, besides this computer's")
	cmd.Flags().BoolVar(&s.yes, "yes", false, "ask nothing")
	return cmd
}

// A setup is one run of castray setup.
type setup struct {
	*tool
	site    config.Site
	yes     bool
	places  config.Paths
	answers *bufio.Reader
}

func (s *setup) run(ctx context.Context) error {
	s.answers, s.places = bufio.NewReader(s.stdin), config.PathsFor(runtime.GOOS, s.environ)
	file, err := s.target()
	if err != nil {
		return err
	}
	if err := s.where(); err != nil {
		return err
	}
	probe := s.site
	probe.ClientID = cmp.Or(probe.ClientID, "castray") // nobody is told
	found, err := agent.Discover(ctx, probe, slog.New(slog.DiscardHandler))
	if err != nil {
		return failf(exitFailed, "%s\nNothing was written.", err)
	}
	s.tell(found.Name, []string{found.Authorize, found.Token}, found.Capabilities)
	s.tellHub(found.HubURL, found.Scopes)
	if err := s.as(found.Name); err != nil {
		return err
	}
	before, _, _ := s.settings() // of a file that is wrong there is nothing to know
	if err := s.write(file); err != nil {
		return err
	}
	return s.offerLogin(ctx, knows(before, s.site))
}

// target is the file to write.
func (s *setup) target() (string, error) {
	if s.configFile != "" {
		return filepath.Abs(s.configFile)
	}
	if file := s.places.User; file != "" {
		return file, nil
	}
	return "", usagef("This computer does not say where your configuration belongs; name the file with --config.")
}

// where asks for the server.
func (s *setup) where() (err error) {
	if s.site.CAFile != "" {
		if s.site.CAFile, err = filepath.Abs(s.site.CAFile); err != nil {
			return err
		}
	}
	if s.site.FHIRURL == "" {
		if s.site.FHIRURL, err = s.ask("Address of the FHIR server, such as https://ehr.example.org/fhir", "", "--fhir-url"); err != nil {
			return err
		}
	}
	s.site.FHIRURL = baseOf(s.site.FHIRURL)
	return nil
}

// baseOf makes a base address of what people have at hand: without a scheme, or that of a document below the base.
func baseOf(typed string) string {
	typed = strings.TrimSpace(typed)
	for _, document := range []string{"/.well-known/smart-configuration", "/metadata"} {
		typed = strings.TrimSuffix(typed, document)
	}
	if typed != "" && !strings.Contains(typed, "://") {
		typed = "https://" + typed
	}
	return typed
}

// as asks who we are there, and how people call it.
func (s *setup) as(software string) (err error) {
	if s.site.ClientID == "" {
		if s.site.ClientID, err = s.ask("Name under which Castray is registered there (client_id)", "", "--client-id"); err != nil {
			return err
		}
	}
	if s.site.Name == "" {
		name := cmp.Or(oneLine(software), hostOf(s.site.FHIRURL))
		if s.site.Name, err = s.ask("How do people call this place", name, ""); err != nil {
			return err
		}
	}
	return nil
}

// oneLine takes a server's word for a name.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(printable(s)), " ")
	if len(s) > 60 {
		return ""
	}
	return s
}

// maxListed is how many capabilities are told: SMART names some thirty.
const maxListed = 40

// tell says what was found, and what of it may not do. What a server lists is a hint: some leave out what they can do.
func (s *setup) tell(software string, endpoints, capabilities []string) {
	s.say("Found %s at %s: people sign in at %s, tokens come from %s.", cmp.Or(oneLine(software), "a SMART server"), hostOf(s.site.FHIRURL), hostOf(endpoints[0]), hostOf(endpoints[1]))
	if len(capabilities) == 0 {
		s.say("It does not list what it can do.")
		return
	}
	shown := capabilities[:min(len(capabilities), maxListed)]
	s.say("It lists: %s.", strings.Join(shown, ", "))
	for _, needed := range []struct{ capability, without string }{
		{"launch-standalone", "a sign-in from here may be refused"},
		{"client-public", "Castray may need a secret or a key there"},
		{"permission-offline", "people may have to sign in every hour or so"},
	} {
		if !slices.Contains(capabilities, needed.capability) {
			s.say("It does not list %s: %s. Ask who runs it.", needed.capability, needed.without)
		}
	}
}

func (s *setup) tellHub(hub string, scopes []string) {
	switch {
	case hub != "":
		s.say("It has a FHIRcast hub at %s.", hostOf(hub))
	case slices.ContainsFunc(scopes, func(scope string) bool { return strings.HasPrefix(scope, "fhircast") }):
		s.say("It grants FHIRcast scopes; which hub, the sign-in tells.")
	default:
		s.say("It says nothing of a FHIRcast hub. The sign-in may name one; else set hub.url and hub.topic for this site.")
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return "an address that cannot be read"
	}
	return u.Hostname()
}

// ask asks for a text. An empty answer is the one proposed; flag is what a script gives instead.
func (s *setup) ask(what, proposed, flag string) (string, error) {
	if s.yes {
		if proposed == "" {
			return "", usagef("--yes asks nothing, so it needs %s.", flag)
		}
		return proposed, nil
	}
	for {
		hint := ""
		if proposed != "" {
			hint = " [" + proposed + "]"
		}
		s.say("%s%s:", what, hint)
		answer, err := s.answer()
		if err != nil {
			return "", err
		}
		if answer = cmp.Or(answer, proposed); answer != "" {
			return answer, nil
		}
	}
}

// agree asks for a yes, which nobody who only presses Enter has said.
func (s *setup) agree(what string) (bool, error) {
	if s.yes {
		return true, nil
	}
	s.say("%s (yes or no)", what)
	answer, err := s.answer()
	return strings.EqualFold(answer, "yes") || strings.EqualFold(answer, "y"), err
}

func (s *setup) answer() (string, error) {
	line, err := s.answers.ReadString('\n')
	if line = strings.TrimSpace(line); line == "" && errors.Is(err, io.EOF) {
		return "", usagef("There is nobody to ask. Scripts give --fhir-url, --client-id and --yes.")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return line, nil
}

// knows tells whether an agent with those settings signs in to the site as it is written now.
func knows(c *config.Config, site config.Site) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(c.Sites, func(known config.Site) bool {
		return known.Name == site.Name && known.FHIRURL == site.FHIRURL && known.ClientID == site.ClientID && known.CAFile == site.CAFile
	})
}

// offerLogin goes on with the agent that runs, if it has read what was written, and otherwise says the next step.
func (s *setup) offerLogin(ctx context.Context, known bool) error {
	c, err := s.control(ctx, "setup", client.Options{})
	if err != nil {
		if code, _ := judge(err); code != exitNoAgent {
			return err
		}
		s.say("Next, start the agent: castray run\nThen sign in: castray login")
		return nil
	}
	hangUp(c)
	if !known {
		s.say("An agent runs that was started before. Next, start it anew: castray quit, castray run\nThen sign in: castray login")
		return nil
	}
	if now, _ := s.agree("Sign in now?"); !now {
		s.say("To sign in later: castray login")
		return nil
	}
	return s.loginWithin(ctx, loginWait, s.site.Name, true)
}
