package sandbox

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/castray/castray/agent/config"
)

func TestAnAgentUnderstandsTheConfigurations(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir()})
	info := s.Info()
	c, err := config.Load(config.Sources{File: info.ConfigFile})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Sites) != 1 || len(c.Warnings) != 0 {
		t.Fatalf("%d sites, %v", len(c.Sites), c.Warnings)
	}
	site := c.Sites[0]
	if site.FHIRURL != info.FHIRURL || site.ClientID != info.ClientID || site.CAFile != info.CAFile || site.Hub.CAFile != info.CAFile || !site.Hub.Test {
		t.Errorf("%+v", site)
	}

	static, err := s.WriteStaticConfig()
	if err != nil {
		t.Fatal(err)
	}
	c, err = config.Load(config.Sources{File: static})
	if err != nil {
		t.Fatal(err)
	}
	token, err := c.Hub.Token()
	if err != nil {
		t.Fatal(err)
	}
	if c.Hub.URL != info.HubURL || c.Hub.Topic != s.Topic("") || c.Hub.CAFile != info.CAFile || !c.Hub.Test || token.Reveal() != info.AdminToken {
		t.Error("the hub of the configuration without sign-in is another")
	}
}

func TestASandboxThatWantsASecretSaysSo(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir(), Secret: true})
	c, err := config.Load(config.Sources{File: s.Info().ConfigFile})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Info().ClientSecret) < 26 || c.Sites[0].Auth != "secret" {
		t.Errorf("%+v", c.Sites)
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"none"}}
	for secret, status := range map[string]int{s.Info().ClientSecret: http.StatusBadRequest, "another": http.StatusUnauthorized} {
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("castray:"+secret))
		if w, body := fetch(t, browser(t, s), "POST", strings.TrimSuffix(s.Info().FHIRURL, "/fhir")+"/auth/token", form, "Authorization", basic); w.StatusCode != status {
			t.Errorf("%s, want %d: %s", w.Status, status, body)
		}
	}
}
