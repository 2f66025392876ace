package config

import (
	"runtime"
	"strings"
	"testing"

	"github.com/castray/castray/oauth"
)

func TestLaunches(t *testing.T) {
	c := mustLoad(t, Sources{File: save(t, "castray.toml", oneSite)})
	if c.Launch.Port != 0 || !c.Launch.Scheme || c.Launch.HubHandover { // FC-LCH-01: what is not SMART is off by default
		t.Errorf("by default %+v", c.Launch)
	}
	c = mustLoad(t, Sources{File: save(t, "castray.toml", "[launch]\nport = 17330\nscheme = false\nhub_handover = true\n"+oneSite)})
	want := c.Launch
	want.Port, want.Scheme, want.HubHandover = 17330, false, true
	if !tellsCallers(runtime.GOOS) {
		want.Port = 0
		if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "launch.port") {
			t.Errorf("warnings %q", c.Warnings)
		}
	}
	if c.Launch != want {
		t.Errorf("%+v, want %+v", c.Launch, want)
	}
	for goos, tells := range map[string]bool{"linux": true, "windows": true, "darwin": false, "": false} {
		if tellsCallers(goos) != tells {
			t.Errorf("%q: %v", goos, !tells)
		}
	}
}

// SM-REDIR-02, SM-REDIR-03: three modes; the scheme is one of ours, with an authority, and not on macOS.
func TestRedirectModes(t *testing.T) {
	for redirect, want := range map[string]bool{
		"loopback": true, "loopback:17321,17322": true, oauth.SchemeRedirect: true,
		"": false, "loopback:": false, "loopback:0": false, "loopback:1,1": false, "loopback:70000": false,
		"io.github.castray:/callback": false, "io.github.castray://callback?x=1": false, "castray://callback": false,
		"https://castray.example/callback": false, "http://127.0.0.1/callback": false,
	} {
		err := redirectOn("linux", redirect)
		if want && redirect == "loopback" {
			continue // the default is not checked
		}
		if (err == nil) != want {
			t.Errorf("%q: %v", redirect, err)
		}
		if on := redirectOn("windows", redirect); (on == nil) != want {
			t.Errorf("%q on Windows: %v", redirect, on)
		}
		site := oauth.Site{FHIRURL: "https://a.example", ClientID: "c", Redirect: redirect}
		if err == nil && site.Check() != nil {
			t.Errorf("%q: oauth has another opinion: %v", redirect, site.Check())
		}
	}
	if err := redirectOn("darwin", oauth.SchemeRedirect); err == nil || !strings.Contains(err.Error(), `use "loopback"`) {
		t.Errorf("on macOS: %v", err)
	}
}
