//go:build !windows && !darwin

package desktop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/godbus/dbus/v5"
)

const (
	systemBusVariable = "DBUS_SYSTEM_BUS_ADDRESS"
	systemBus         = "unix:path=/var/run/dbus/system_bus_socket"
)

// watchScreen listens to the savers on the session bus and to logind on the system bus, as long as one of them is there.
func watchScreen(ctx context.Context, hear func(word)) error {
	onSession, err := listenToSavers(ctx)
	if err == nil {
		defer onSession.conn.Close()
	}
	onSystem, words, systemErr := listenToLogind(ctx)
	if systemErr == nil {
		defer onSystem.conn.Close()
	}
	if err != nil && systemErr != nil {
		return fmt.Errorf("the screen: %w; %w", err, systemErr)
	}
	for _, w := range words {
		hear(w)
	}
	savers, logind := onSession.signals, onSystem.signals
	for savers != nil || logind != nil {
		var s *dbus.Signal
		open := true
		select {
		case <-ctx.Done():
			return nil
		case s, open = <-savers:
			if !open {
				savers = nil
			}
		case s, open = <-logind:
			if !open {
				logind = nil
			}
		}
		if !open {
			continue
		}
		for _, w := range busWords(s.Name, plainBody(s.Body)) {
			hear(w)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.New("the screen: the bus is gone")
}

// An ear is a connection to a bus, and what is said there. The channel is closed when the bus is gone.
type ear struct {
	conn    *dbus.Conn
	signals chan *dbus.Signal
}

// join connects to a bus of this address; with none the library would start one.
func join(ctx context.Context, address string) (ear, error) {
	conn, err := dbus.Connect(address, dbus.WithContext(ctx), dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	if err != nil {
		return ear{}, errors.New("a bus does not let us in") // the library's words hold its socket
	}
	e := ear{conn, make(chan *dbus.Signal, 8)}
	conn.Signal(e.signals)
	return e, nil
}

func listenToSavers(ctx context.Context) (ear, error) {
	address, err := SessionBus(ctx, os.Getenv)
	if err != nil {
		return ear{}, errors.New("there is no session bus")
	}
	e, err := join(ctx, address)
	if err != nil {
		return ear{}, err
	}
	for _, saver := range savers {
		if err := e.conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface(saver), dbus.WithMatchMember("ActiveChanged")); err != nil {
			e.conn.Close()
			return ear{}, errors.New("the session bus does not let us listen")
		}
	}
	return e, nil
}

// listenToLogind returns also what our session there says now.
func listenToLogind(ctx context.Context) (ear, []word, error) {
	address, err := answering(ctx, cmp.Or(os.Getenv(systemBusVariable), systemBus))
	if err != nil {
		return ear{}, nil, errors.New("there is no system bus")
	}
	e, err := join(ctx, address)
	if err != nil {
		return ear{}, nil, err
	}
	path, err := ownSession(ctx, e.conn)
	if err == nil {
		// Everything of this one object: two of its own signals, and the change of its properties.
		err = e.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender("org.freedesktop.login1"), dbus.WithMatchObjectPath(path))
	}
	if err != nil {
		e.conn.Close()
		return ear{}, nil, errors.New("logind does not know our session")
	}
	// Asked only after we listen, so that nothing falls in between.
	properties := map[string]dbus.Variant{}
	_ = e.conn.Object("org.freedesktop.login1", path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, loginSession).Store(&properties)
	return e, sessionWords(plainProperties(properties)), nil
}

// ownSession is the session of this process at logind, or, for a service of the user, which is in none, the one that logind
// takes for the user's graphical one.
func ownSession(ctx context.Context, conn *dbus.Conn) (path dbus.ObjectPath, err error) {
	manager := conn.Object("org.freedesktop.login1", "/org/freedesktop/login1")
	call := func(o dbus.BusObject, method string, args ...any) *dbus.Call {
		return o.CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...)
	}
	if id := os.Getenv("XDG_SESSION_ID"); id != "" {
		if err = call(manager, "org.freedesktop.login1.Manager.GetSession", id).Store(&path); err == nil {
			return path, nil
		}
	}
	if err = call(manager, "org.freedesktop.login1.Manager.GetSessionByPID", uint32(os.Getpid())).Store(&path); err == nil {
		return path, nil
	}
	if err = call(manager, "org.freedesktop.login1.Manager.GetUser", uint32(os.Getuid())).Store(&path); err != nil {
		return "", err
	}
	var display struct {
		ID   string
		Path dbus.ObjectPath
	}
	if err = call(conn.Object("org.freedesktop.login1", path), "org.freedesktop.DBus.Properties.Get", "org.freedesktop.login1.User", "Display").Store(&display); err != nil {
		return "", err
	}
	if display.ID == "" {
		return "", errors.New("no graphical session")
	}
	return display.Path, nil
}

func plainBody(body []any) []any {
	plain := make([]any, len(body))
	for i, value := range body {
		plain[i] = value
		if properties, ok := value.(map[string]dbus.Variant); ok {
			plain[i] = plainProperties(properties)
		}
	}
	return plain
}

func plainProperties(properties map[string]dbus.Variant) map[string]any {
	plain := make(map[string]any, len(properties))
	for name, value := range properties {
		plain[name] = value.Value()
	}
	return plain
}
