package ipc

import (
	"io/fs"
	"strings"
	"testing"
)

func TestLinuxRunDir(t *testing.T) {
	for _, row := range []struct{ xdg, want string }{
		{"/run/user/1000", "/run/user/1000/castray"},
		{"", "/tmp/castray-1000"},
		{"relative", "/tmp/castray-1000"},
	} {
		if got := linuxRunDir(row.xdg, 1000); got != row.want {
			t.Errorf("XDG_RUNTIME_DIR=%q: %s, want %s", row.xdg, got, row.want)
		}
	}
}

func TestJudgeFolder(t *testing.T) {
	for _, row := range []struct {
		name     string
		mode     fs.FileMode
		owner    int
		sentence string
	}{
		{"ours and closed", fs.ModeDir | 0o700, 1000, ""},
		{"open to the group", fs.ModeDir | 0o710, 1000, "chmod 700"},
		{"open to all", fs.ModeDir | fs.ModeSticky | 0o777, 1000, "chmod 700"},
		{"another user's", fs.ModeDir | 0o700, 1001, "belongs to user 1001"},
		{"the administrator's", fs.ModeDir | 0o700, 0, "belongs to user 0"},
		{"a link, even ours", fs.ModeSymlink | 0o700, 1000, "is a link"},
		{"a file", 0o700, 1000, "is no folder"},
	} {
		check(t, row.name, judgeFolder("/tmp/castray-1000", row.mode, row.owner, 1000), row.sentence)
	}
}

func TestJudgeKeys(t *testing.T) {
	for _, row := range []struct {
		name     string
		mode     fs.FileMode
		owner    int
		sentence string
	}{
		{"ours and closed", 0o600, 1000, ""},
		{"readable by others", 0o604, 1000, "chmod 600"},
		{"another user's", 0o600, 1001, "belongs to user 1001"},
		{"a pipe", fs.ModeNamedPipe | 0o600, 1000, "is no file"},
	} {
		check(t, row.name, judgeKeys("/tmp/castray.json", row.mode, row.owner, 1000), row.sentence)
	}
}

func check(t *testing.T, name string, err error, sentence string) {
	t.Helper()
	if (err == nil) != (sentence == "") || err != nil && !strings.Contains(err.Error(), sentence) {
		t.Errorf("%s: %v, want %q", name, err, sentence)
	}
}

func TestWindowsKeysName(t *testing.T) {
	const standard = `\\.\pipe\castray-S-1-5-21-1-7`
	for in, want := range map[string]string{
		standard:                        "castray.json",
		strings.ToUpper(standard):       "castray.json",
		`\\.\pipe\Test one`:             "pipe-test_one.json",
		`\\.\pipe\..\..\evil`:           "pipe-______evil.json",
		`\\.\pipe\castray-S-1-5-21-1-8`: "pipe-castray-s-1-5-21-1-8.json",
	} {
		if got := windowsKeysName(in, standard); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
