package sandbox

import (
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
