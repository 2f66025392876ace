package desktop

import (
	"slices"
	"testing"
)

func TestScreenAfter(t *testing.T) {
	for _, c := range []struct {
		name string
		said []word
		told []bool // hidden, after each that changes it
	}{
		{"nothing", nil, nil},
		{"locked and unlocked", []word{locked, unlocked}, []bool{true, false}},
		{"two say it, in their own words", []word{locked, locked, unlocked, unlocked}, []bool{true, false}},
		{"unlocked and was not locked", []word{unlocked}, nil},
		{"another user's session in front", []word{left, back}, []bool{true, false}},
		{"locked, and another's in front", []word{locked, left, back, unlocked}, []bool{true, false}},
		{"a remote desktop that locks when it is left", []word{left, locked, back, unlocked}, []bool{true, false}},
		{"who unlocks is there", []word{left, locked, unlocked}, []bool{true, false}},
	} {
		var s screen
		var told []bool
		for _, w := range c.said {
			was := s.hidden()
			if s = s.after(w); s.hidden() != was {
				told = append(told, s.hidden())
			}
		}
		if !slices.Equal(told, c.told) {
			t.Errorf("%s: %v, want %v", c.name, told, c.told)
		}
	}
}

func TestBusWords(t *testing.T) {
	const changed = "org.freedesktop.DBus.Properties.PropertiesChanged"
	properties := func(p map[string]any) []any { return []any{loginSession, p, []string{}} }
	for _, c := range []struct {
		name, signal string
		body         []any
		want         []word
	}{
		{"GNOME locks", "org.gnome.ScreenSaver.ActiveChanged", []any{true}, []word{locked}},
		{"KDE unlocks", "org.freedesktop.ScreenSaver.ActiveChanged", []any{false}, []word{unlocked}},
		{"a saver says something else", "org.gnome.ScreenSaver.WakeUpScreen", nil, nil},
		{"a saver says it in another type", "org.gnome.ScreenSaver.ActiveChanged", []any{"yes"}, nil},
		{"a saver says nothing", "org.gnome.ScreenSaver.ActiveChanged", nil, nil},
		{"a saver that we do not know", "org.example.ScreenSaver.ActiveChanged", []any{true}, nil},
		{"loginctl lock-session", loginSession + ".Lock", nil, []word{locked}},
		{"loginctl unlock-session", loginSession + ".Unlock", nil, []word{unlocked}},
		{"a locker has locked", changed, properties(map[string]any{"LockedHint": true}), []word{locked}},
		{"a locker has unlocked", changed, properties(map[string]any{"LockedHint": false, "IdleHint": false}), []word{unlocked}},
		{"another user comes to the front", changed, properties(map[string]any{"Active": false}), []word{left}},
		{"back, and locked", changed, properties(map[string]any{"Active": true, "LockedHint": true}), []word{locked, back}},
		{"a property of something else", changed, []any{"org.freedesktop.login1.Seat", map[string]any{"LockedHint": true}, []string{}}, nil},
		{"a property without a value", changed, []any{loginSession}, nil},
		{"a property of another type", changed, properties(map[string]any{"LockedHint": 1}), nil},
	} {
		if got := busWords(c.signal, c.body); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestWTSWord(t *testing.T) {
	want := map[uintptr]word{1: back, 2: left, 3: back, 4: left, 7: locked, 8: unlocked}
	for code := range uintptr(12) { // 5, 6, 9: logon, logoff, remote control
		w, known := wtsWord(code)
		if expected, should := want[code]; known != should || w != expected {
			t.Errorf("code %d: %v, %t", code, w, known)
		}
	}
}
