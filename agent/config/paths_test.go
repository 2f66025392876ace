package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPaths(t *testing.T) {
	for _, test := range []struct {
		name, goos string
		environ    []string
		want       Paths
	}{
		{"Linux", "linux", []string{"HOME=/home/r", "XDG_CONFIG_HOME=/x/config", "XDG_STATE_HOME=/x/state"},
			Paths{"/x/config/castray/castray.toml", "/etc/castray/castray.toml", "/etc/castray/policy.toml", "/x/state/castray", "/x/state/castray"}},
		{"Linux, from the home folder", "linux", []string{"HOME=/home/r", "XDG_CONFIG_HOME=", "XDG_STATE_HOME=relative"},
			Paths{"/home/r/.config/castray/castray.toml", "/etc/castray/castray.toml", "/etc/castray/policy.toml", "/home/r/.local/state/castray", "/home/r/.local/state/castray"}},
		{"Linux, without a home", "linux", nil,
			Paths{"", "/etc/castray/castray.toml", "/etc/castray/policy.toml", "", ""}},
		{"Windows", "windows", []string{`AppData=C:\Users\r\AppData\Roaming`, `ProgramData=C:\ProgramData\`, `LOCALAPPDATA=C:\Users\r\AppData\Local`},
			Paths{`C:\Users\r\AppData\Roaming\Castray\castray.toml`, `C:\ProgramData\Castray\castray.toml`, "", `C:\Users\r\AppData\Local\Castray`, `C:\Users\r\AppData\Local\Castray`}},
		{"Windows, without an environment", "windows", nil, Paths{}},
		{"macOS", "darwin", []string{"HOME=/tmp", "HOME=/Users/r", "home=/wrong"},
			Paths{"/Users/r/Library/Application Support/Castray/castray.toml", "/Library/Application Support/Castray/castray.toml", "", "/Users/r/Library/Logs/Castray", "/Users/r/Library/Logs/Castray"}},
	} {
		if diff := cmp.Diff(test.want, PathsFor(test.goos, test.environ)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// On Windows the case of a variable's name does not matter, and CASTRAY_ variables obey that too.
func TestEnvironmentFoldsCaseWhereTheSystemDoes(t *testing.T) {
	for _, test := range []struct {
		fold  bool
		found bool
	}{{true, true}, {false, false}} {
		d := readEnvironment(newIndex(), environment{[]string{"Castray_Log_Level=warn"}, test.fold})
		if _, found := d.settings["log.level"]; found != test.found || d.problems != nil {
			t.Errorf("folding %v: found %v, problems %v", test.fold, found, d.problems)
		}
	}
}
