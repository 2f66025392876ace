package hubtest_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/castray/castray/bridge/hub/hubtest"
)

func TestEveryFaultHasAName(t *testing.T) {
	all := append(hubtest.Faults(), hubtest.Habits()...)
	for i, f := range all {
		if !regexp.MustCompile(`^[a-z][a-z0-9.]*(-[a-z0-9.]+)*$`).MatchString(string(f)) || slices.Contains(all[:i], f) {
			t.Errorf("%q is no name, or the name of two", f)
		}
		if h := f.Help(); !strings.HasSuffix(h, ".") || strings.Contains(h, "\n") || len(h) > 160 || strings.ToUpper(h[:1]) != h[:1] {
			t.Errorf("%s: %q is no sentence", f, h)
		}
	}
	if hubtest.Fault("nonsense").Help() != "" {
		t.Error("help for nothing")
	}
}

func TestListOfFaults(t *testing.T) {
	got, err := hubtest.Parse("names-lower, drop=3,version-2020")
	if err != nil || len(got) != 3 || got[hubtest.NamesLower] != -1 || got[hubtest.Drop] != 3 || got[hubtest.Version2020] != -1 {
		t.Errorf("%v, %v", got, err)
	}
	for list, want := range map[string]string{"": `no fault ""`, "nonsense": `no fault "nonsense"`, "drop,": `no fault ""`, "drop=0": "how many times drop", "drop=often": `"often"`, "drop=-1": "whole number"} {
		if _, err := hubtest.Parse(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", list, err)
		}
	}
}
