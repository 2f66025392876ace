package ipc

import "testing"

func TestWhoMayConnect(t *testing.T) {
	us := Peer{User: "S-1-5-21-1", Session: 2}
	for _, row := range []struct {
		name   string
		them   Peer
		admits error
		trusts error
	}{
		{"the same user in the same session", Peer{User: "S-1-5-21-1", Session: 2}, nil, nil},
		{"the same user in another session", Peer{User: "S-1-5-21-1", Session: 3}, errOtherSession, nil},
		{"another user in the same session", Peer{User: "S-1-5-21-2", Session: 2}, errOtherUser, errOtherUser},
		{"the system", Peer{User: "S-1-5-18"}, errOtherUser, errOtherUser},
		{"nobody known", Peer{Session: 2}, errOtherUser, errOtherUser},
	} {
		if err := admit(us, row.them); err != row.admits {
			t.Errorf("%s: as an app %v, want %v", row.name, err, row.admits)
		}
		if err := trust(us, row.them); err != row.trusts {
			t.Errorf("%s: as the agent %v, want %v", row.name, err, row.trusts)
		}
	}
	if admit(Peer{}, Peer{}) == nil {
		t.Error("when we do not know ourselves nobody may connect")
	}
}

func TestPipeIsForItsUserAndSessionOnly(t *testing.T) {
	if got, want := sddl("S-1-5-21-1"), "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;S-1-5-21-1)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := pipeName(Peer{User: "S-1-5-21-1", Session: 7}), `\\.\pipe\castray-S-1-5-21-1-7`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestExecPathOfMacOS(t *testing.T) {
	for in, want := range map[string]string{
		"\x02\x00\x00\x00/Applications/Viewer.app/Contents/MacOS/Viewer\x00\x00\x00arg": "/Applications/Viewer.app/Contents/MacOS/Viewer",
		"\x02\x00\x00\x00/no/end": "",
		"\x02":                    "",
	} {
		if got := execPath([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestAProgramThatCannotBeToldHasNoDigest(t *testing.T) {
	for _, p := range []Peer{{}, {Exe: "/nowhere", PID: 1 << 30}} {
		if digest, err := p.Digest(); digest != "" || err == nil || err.Error() != "the program at the other side cannot be told" {
			t.Errorf("%q, %v", digest, err)
		}
	}
}

func TestAPeerWithoutProcessIsUnknown(t *testing.T) {
	var p Peer
	if alive, known := p.Alive(); alive || known {
		t.Error("known without a process")
	}
	p.Release()
}
