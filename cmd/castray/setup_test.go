package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/castray/castray/agent/config"
)

func TestBaseOfWhatPeopleType(t *testing.T) {
	for typed, want := range map[string]string{
		"https://ehr.example.org/fhir":                                 "https://ehr.example.org/fhir",
		" https://ehr.example.org/fhir/ ":                              "https://ehr.example.org/fhir/", // as the server knows it
		"ehr.example.org/fhir":                                         "https://ehr.example.org/fhir",
		"https://ehr.example.org/fhir/metadata":                        "https://ehr.example.org/fhir",
		"https://ehr.example.org/fhir/.well-known/smart-configuration": "https://ehr.example.org/fhir",
		"http://ehr.example.org/fhir":                                  "http://ehr.example.org/fhir", // refused later, with a sentence
		"":                                                             "",
	} {
		if got := baseOf(typed); got != want {
			t.Errorf("%q becomes %q", typed, got)
		}
	}
}

// What was there is never lost, a configuration that does not load never takes its place, and nobody else may read either.
func TestSetupKeepsWhatWasThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "castray.toml")
	var said strings.Builder
	s := &setup{tool: &tool{stdin: strings.NewReader(""), stderr: &said}, yes: true}
	write := func(id string) error {
		s.site = config.Site{Name: "Ward", FHIRURL: "https://ehr.example.org/fhir", ClientID: id}
		return s.write(file)
	}
	for i, id := range []string{"one", "two", "three", "three"} {
		if err := write(id); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if err := write("a\nb"); err == nil || !strings.Contains(err.Error(), file+":7:1: site.client_id: ") || !strings.Contains(err.Error(), "Nothing was written.") {
		t.Errorf("a configuration that does not load: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("%s may be used by others: %o", e.Name(), mode)
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"one", "two", "three"} {
			if strings.Contains(string(text), `"`+id+`"`) {
				found[e.Name()] = id
			}
		}
	}
	if want := map[string]string{"castray.toml": "three", "castray.toml.bak": "one", "castray.toml.bak2": "two"}; len(entries) != 3 || found["castray.toml"] != want["castray.toml"] ||
		found["castray.toml.bak"] != want["castray.toml.bak"] || found["castray.toml.bak2"] != want["castray.toml.bak2"] {
		t.Errorf("in the folder: %v", found)
	}
}

// A link to where somebody keeps the file stays one.
func TestSetupFollowsALink(t *testing.T) {
	dir := t.TempDir()
	kept, link := filepath.Join(dir, "kept.toml"), filepath.Join(dir, "castray.toml")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kept, link); err != nil {
		if runtime.GOOS == "windows" {
			t.Skip("a link needs a privilege there")
		}
		t.Fatal(err)
	}
	s := &setup{tool: &tool{stderr: new(strings.Builder)}, yes: true, site: config.Site{Name: "Ward", FHIRURL: "https://ehr.example.org", ClientID: "c"}}
	if err := s.write(link); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != kept {
		t.Errorf("the link is %q, %v", to, err)
	}
	if text, err := os.ReadFile(kept); err != nil || !strings.Contains(string(text), `"Ward"`) {
		t.Errorf("%q, %v", text, err)
	}
}

// A policy that says which sites there are is stronger than what the user writes, and that is said.
func TestSetupUnderAPolicy(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.toml")
	if err := os.WriteFile(policy, config.ForSite(config.Site{Name: "Elsewhere", FHIRURL: "https://other.example.org", ClientID: "c"}), 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	s := &setup{tool: &tool{stderr: &said}, yes: true, places: config.Paths{Policy: policy},
		site: config.Site{Name: "Ward", FHIRURL: "https://ehr.example.org", ClientID: "c"}}
	if err := s.write(filepath.Join(dir, "castray.toml")); err != nil || !strings.Contains(said.String(), "will have no effect") {
		t.Errorf("%v, said %q", err, said.String())
	}
}
