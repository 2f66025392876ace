package config

import (
	"strings"
	"testing"
)

// canary is a topic that nobody else has, made of letters that a key may have too.
const canary = "4f9d2c7e-canary-61b8-5a3e-do-not-repeat"

// pastes are files with the canary in places where people paste things.
var pastes = []string{
	"[hub]\nurl = \"https://h.example.org\"\ntopic = \"" + canary + " \"\n",
	"[hub]\ntopic = " + canary + "\n",
	"[hub]\ntopic = \"" + canary + "\n",
	"[hub]\n" + canary + "\n",
	"[hub]\n" + canary + " = 1\n" + canary + " = 2\n",
	"[" + canary + "]\n[" + canary + "]\n",
	"[[" + canary + "]]\nhub." + canary + ".x = 1\n",
	"[hub]\nurl = \"https://" + canary + ":1:2\"\ntopic = \"t\"\nevents = [\"" + canary + "\"]\n",
	"[hub]\nurl = \"https://" + canary + "@h.example.org\"\ntopic = \"t\"\n",
	"[hub]\ntoken_file = \"" + canary + "\nname = \"{" + canary + "}\"\nchannel = \"" + canary + "\"\n",
	"[hub]\nname = \"{" + canary + "}\"\nchannel = \"" + canary + "\"\nca_file = [\"" + canary + "\"]\n",
	"log.level = \"" + canary + "\"\nlocal = {answer_within = \"" + canary + "\", websocket_port = 99999999999999999999}\n",
	"[[site]]\nfhir_url = \"http://" + canary + "\"\nclient_id = \"" + canary + "\"\nredirect = \"" + canary + "\"\nscopes = [\"" + canary + " \"]\n",
}

func TestS11_ErrorsOfAConfigurationRepeatNoValue(t *testing.T) {
	for _, content := range pastes {
		_, err := loadText(t, content)
		if err == nil {
			t.Errorf("loaded:\n%s", content)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("repeated: %v", err)
		}
	}
	for _, path := range newIndex().paths {
		s := Sources{Environ: []string{variable(path) + "=" + canary}, Flags: map[string]string{path: canary}}
		if _, err := Load(s); err != nil && path != "hub.ca_file" && path != "hub.token_file" && strings.Contains(err.Error(), canary) {
			t.Errorf("repeated from a flag or variable: %v", err)
		}
	}
	token := save(t, "hub.token", canary+" "+canary)
	if _, err := (Hub{TokenFile: token}).Token(); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("from the token's file: %v", err)
	}
}

// Whatever a file says: no panic, no error or warning that holds the canary, and no configuration that breaks a rule.
func FuzzConfig(f *testing.F) {
	for _, content := range pastes {
		f.Add(content)
	}
	f.Add(sample)
	for _, r := range refusals {
		f.Add(r.file)
	}
	index := newIndex()
	f.Fuzz(func(t *testing.T, content string) {
		d := readTOML(index, byUser, "/etc/castray/castray.toml", []byte(content))
		c, _, err := assemble(index, []*document{d})
		if err != nil {
			if strings.Contains(err.Error(), canary) {
				t.Errorf("an error repeats it: %v", err)
			}
			return
		}
		for _, w := range c.Warnings {
			if strings.Contains(w, canary) {
				t.Errorf("a warning repeats it: %s", w)
			}
		}
		for _, o := range c.Origins() {
			if strings.HasSuffix(o.Key, "hub.topic") && o.Value != `""` && o.Value != `"[secret]"` {
				t.Errorf("%s shows %s", o.Key, o.Value)
			}
		}
		for _, s := range append(c.Sites, Site{FHIRURL: "https://h", ClientID: "c", Hub: c.Hub}) {
			if s.FHIRURL == "" || s.ClientID == "" {
				t.Errorf("a site without address or client was let through: %+v", s)
			}
			if checkBase(s.FHIRURL, s.Hub.Test) != nil || s.Hub.URL != "" && checkURL(s.Hub.URL, s.Hub.Test) != nil {
				t.Errorf("an address was let through: %+v", s)
			}
		}
		if c.Hub.URL != "" && len(c.Sites) > 0 {
			t.Error("a hub without sign-in beside sites")
		}
	})
}
