package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Info is what a sandbox tells whoever started it, as JSON in one line. Topic, AdminToken and ClientSecret open its doors, and there
// is nothing behind them but test data.
type Info struct {
	FHIRURL  string `json:"fhir_url"`
	EHRURL   string `json:"ehr_url"`
	HubURL   string `json:"hub_url"`
	CAFile   string `json:"ca_file"` // "" without Config.Dir
	ClientID string `json:"client_id"`
	// ClientSecret is "" without Config.Secret.
	ClientSecret string `json:"client_secret,omitempty"`
	Topic        string `json:"topic"`       // of the first user
	AdminToken   string `json:"admin_token"` // a bearer for all topics and resources, with all scopes
	ConfigFile   string `json:"config_file"` // "" without Config.Dir
}

const (
	caFile     = "ca.pem"
	configFile = "castray.toml"
	staticFile = "castray-static.toml"
	tokenFile  = "token"
)

// writeFiles puts what an agent needs into dir and fills in where.
func (s *Sandbox) writeFiles(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("folder of the sandbox: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of the sandbox: %w", err)
	}
	s.dir = dir
	s.info.CAFile = filepath.Join(dir, caFile)
	s.info.ConfigFile = filepath.Join(dir, configFile)
	if err := writeFile(s.info.CAFile, s.ca.pem(), 0o644); err != nil {
		return err
	}
	return writeFile(s.info.ConfigFile, []byte(s.signInConfig()), 0o600)
}

// signInConfig is the configuration of an agent that signs in here.
func (s *Sandbox) signInConfig() string {
	auth, launch := "public", ""
	if s.info.ClientSecret != "" {
		auth = "secret"
	}
	if s.launches.port != 0 {
		launch = lines("", "[launch]", fmt.Sprintf("port = %d", s.launches.port))
	}
	return lines(
		"# An agent for this sandbox: castray --config FILE run. Each sandbox writes its own.",
		"[[site]]",
		"name = "+quote("Sandbox"),
		"fhir_url = "+quote(s.info.FHIRURL),
		"client_id = "+quote(s.info.ClientID),
		"auth = "+quote(auth),
		"ca_file = "+quote(s.info.CAFile),
		"[site.hub]",
		"ca_file = "+quote(s.info.CAFile),
		"",
		"[hub]",
		"test = true") + launch
}

// WriteStaticConfig writes the configuration of an agent that joins the first user's session without signing in, and
// its token, both readable by their owner only, and says where. It needs Config.Dir.
func (s *Sandbox) WriteStaticConfig() (path string, err error) {
	if s.dir == "" {
		return "", fmt.Errorf("configuration without sign-in: the sandbox has no folder")
	}
	token := filepath.Join(s.dir, tokenFile)
	if err := writeFile(token, []byte(s.info.AdminToken+"\n"), 0o600); err != nil {
		return "", err
	}
	path = filepath.Join(s.dir, staticFile)
	return path, writeFile(path, []byte(lines(
		"# An agent for this sandbox without sign-in: it holds the topic, so keep it to yourself.",
		"[hub]",
		"url = "+quote(s.info.HubURL),
		"topic = "+quote(s.info.Topic),
		"token_file = "+quote(token),
		"ca_file = "+quote(s.info.CAFile),
		"test = true")), 0o600)
}

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }

// quote is a string of TOML; what JSON escapes, TOML reads the same way.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings can always be written
	}
	return string(b)
}

// writeFile replaces a file at once, so that no one reads half of it, nor through the permissions of an older one.
func writeFile(path string, text []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".castray-*") // 0600
	if err != nil {
		return fmt.Errorf("file of the sandbox: %w", err)
	}
	_, err = f.Write(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(f.Name(), mode)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("file of the sandbox: %w", err)
	}
	return nil
}
