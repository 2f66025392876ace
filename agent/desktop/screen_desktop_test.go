//go:build desktop && linux

package desktop

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// startBus runs a bus for this test, which ends with it or by stop, and returns its address.
func startBus(t *testing.T) (address string, stop func()) {
	t.Helper()
	cmd := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=1", "--address=unix:path="+t.TempDir()+"/bus")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	if address, err = bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address), stop
}

func onBus(t *testing.T, address string) *dbus.Conn {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

const ourSession, othersSession = dbus.ObjectPath("/org/freedesktop/login1/session/_37"), dbus.ObjectPath("/org/freedesktop/login1/session/_38")

// login is a logind of two sessions, for a process that is in none of them: a service of the user.
type login struct {
	conn       *dbus.Conn
	properties *prop.Properties
}

type manager struct{}

// GetSessionByPID is what logind answers to a service.
func (manager) GetSessionByPID(uint32) (dbus.ObjectPath, *dbus.Error) {
	return "", dbus.NewError("org.freedesktop.login1.NoSessionForPID", nil)
}

// GetUser finds the user.
func (manager) GetUser(uint32) (dbus.ObjectPath, *dbus.Error) {
	return "/org/freedesktop/login1/user/self", nil
}

func startLogind(t *testing.T, address string, lockedAlready bool) *login {
	t.Helper()
	l := &login{conn: onBus(t, address)}
	if err := l.conn.Export(manager{}, "/org/freedesktop/login1", "org.freedesktop.login1.Manager"); err != nil {
		t.Fatal(err)
	}
	type session struct {
		ID   string
		Path dbus.ObjectPath
	}
	var err error
	if _, err = prop.Export(l.conn, "/org/freedesktop/login1/user/self", prop.Map{"org.freedesktop.login1.User": {
		"Display": {Value: session{"7", ourSession}}}}); err != nil {
		t.Fatal(err)
	}
	if l.properties, err = prop.Export(l.conn, ourSession, prop.Map{loginSession: {
		"LockedHint": {Value: lockedAlready, Emit: prop.EmitTrue}, "Active": {Value: true, Emit: prop.EmitTrue}}}); err != nil {
		t.Fatal(err)
	}
	if r, err := l.conn.RequestName("org.freedesktop.login1", dbus.NameFlagDoNotQueue); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("logind's name: %v, %v", r, err)
	}
	return l
}

func (l *login) set(name string, value bool) {
	l.properties.SetMust(loginSession, name, value)
}

// heard runs Screen on these buses and returns what it tells.
func heard(t *testing.T, session, system string) (told <-chan bool, ended <-chan error) {
	t.Helper()
	t.Setenv(BusVariable, session)
	t.Setenv(systemBusVariable, system)
	t.Setenv("XDG_SESSION_ID", "")
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	tells, end := make(chan bool, 8), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		end <- Screen(ctx, func(locked bool) { tells <- locked })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return tells, end
}

func want(t *testing.T, told <-chan bool, what bool) {
	t.Helper()
	select {
	case got := <-told:
		if got != what {
			t.Fatalf("told %t", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("not told %t", what)
	}
}

func TestScreenOnRealBuses(t *testing.T) {
	session, stopSession := startBus(t)
	system, stopSystem := startBus(t)
	logind := startLogind(t, system, true)
	told, ended := heard(t, session, system)
	want(t, told, true) // locked already

	saver := onBus(t, session)
	emit := func(conn *dbus.Conn, path dbus.ObjectPath, name string, values ...any) {
		t.Helper()
		if err := conn.Emit(path, name, values...); err != nil {
			t.Fatal(err)
		}
	}
	emit(saver, "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver.ActiveChanged", false)
	want(t, told, false)
	emit(saver, "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver.ActiveChanged", true)
	want(t, told, true)
	emit(logind.conn, ourSession, loginSession+".Unlock")
	want(t, told, false)
	emit(logind.conn, othersSession, loginSession+".Lock") // nobody's here
	emit(logind.conn, ourSession, loginSession+".Lock")
	want(t, told, true)
	logind.set("LockedHint", false)
	want(t, told, false)
	logind.set("Active", false)
	want(t, told, true)
	logind.set("Active", true)
	want(t, told, false)

	stopSystem()
	emit(saver, "/ScreenSaver", "org.freedesktop.ScreenSaver.ActiveChanged", true)
	want(t, told, true)
	stopSession()
	if err := <-ended; err == nil || err.Error() != "the screen: the bus is gone" {
		t.Errorf("%v", err)
	}
	if len(told) != 0 {
		t.Error("told more than that")
	}
}

func TestScreenWithLogindAlone(t *testing.T) {
	system, _ := startBus(t)
	logind := startLogind(t, system, false)
	told, _ := heard(t, "", system)
	for { // it says so when it listens: nothing else tells
		logind.set("LockedHint", true)
		logind.set("LockedHint", false)
		select {
		case first := <-told:
			if !first {
				t.Fatal("unlocked first")
			}
			want(t, told, false)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
