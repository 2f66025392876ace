package config

import (
	"runtime"
	"strings"
)

// Paths are the places that Castray uses on this system. A place that the environment does not tell is "".
type Paths struct {
	User    string // the user's castray.toml
	Machine string // the machine's castray.toml
	Policy  string // policy.toml; "" where policy does not come from a file
	State   string // folder for what is remembered between runs
	Log     string // folder for log files
}

// PathsFor tells the places for an operating system (a GOOS) and an environment (as os.Environ gives it). It looks at
// nothing else.
func PathsFor(goos string, environ []string) Paths {
	e := environment{environ, goos == "windows"}
	switch goos {
	case "windows":
		local := place(`\`, e.get("LOCALAPPDATA"), "Castray")
		return Paths{
			User:    place(`\`, e.get("APPDATA"), "Castray", "castray.toml"),
			Machine: place(`\`, e.get("ProgramData"), "Castray", "castray.toml"),
			State:   local,
			Log:     local,
		}
	case "darwin":
		logs := place("/", e.get("HOME"), "Library/Logs/Castray")
		return Paths{
			User:    place("/", e.get("HOME"), "Library/Application Support/Castray/castray.toml"),
			Machine: "/Library/Application Support/Castray/castray.toml",
			State:   logs,
			Log:     logs,
		}
	}
	state := place("/", e.xdg("XDG_STATE_HOME", ".local/state"), "castray")
	return Paths{
		User:    place("/", e.xdg("XDG_CONFIG_HOME", ".config"), "castray/castray.toml"),
		Machine: "/etc/castray/castray.toml",
		Policy:  "/etc/castray/policy.toml",
		State:   state,
		Log:     state,
	}
}

// place joins a folder that may be unknown with what lies below it. The separator is that of the system asked about,
// which need not be the one we run on.
func place(separator, folder string, below ...string) string {
	if folder == "" {
		return ""
	}
	return strings.TrimRight(folder, separator) + separator + strings.Join(below, separator)
}

// environment is the environment of a process; Windows does not mind the case of names.
type environment struct {
	list     []string
	foldCase bool
}

func hostEnvironment(list []string) environment { return environment{list, runtime.GOOS == "windows"} }

// get is the value of a variable, "" if it is not set. Of a name that is there twice the last counts, as for os/exec.
func (e environment) get(name string) string {
	for i := len(e.list) - 1; i >= 0; i-- {
		if n, v, _ := strings.Cut(e.list[i], "="); n == name || e.foldCase && strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// xdg is a folder of the XDG base directory specification, which says that a relative path is to be ignored.
func (e environment) xdg(name, underHome string) string {
	if v := e.get(name); strings.HasPrefix(v, "/") {
		return v
	}
	return place("/", e.get("HOME"), underHome)
}
