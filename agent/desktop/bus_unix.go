//go:build !windows && !darwin

package desktop

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// BusVariable names the session bus. D-Bus specification, "Well-known Message Bus Instances".
const BusVariable = "DBUS_SESSION_BUS_ADDRESS"

// maxHandshake is how long a bus may take to let us in. One that hangs would hang who joins it without end.
const maxHandshake = 2 * time.Second

var errNoBus = errors.New("no bus")

// SessionBus returns the address of the session bus that answers: the one that the environment names, or else the one in
// the run folder of the user. It never starts one, which D-Bus libraries do when they are given no address.
func SessionBus(ctx context.Context, env func(string) string) (string, error) {
	addresses := env(BusVariable)
	if addresses == "" {
		if run := env("XDG_RUNTIME_DIR"); run != "" {
			addresses = "unix:path=" + url.PathEscape(filepath.Join(run, "bus"))
		}
	}
	return answering(ctx, addresses)
}

// answering returns the first of several addresses at which a bus lets us in.
func answering(ctx context.Context, addresses string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, maxHandshake)
	defer cancel()
	for address := range strings.SplitSeq(addresses, ";") {
		socket, ok := busSocket(address)
		if ok && greetBus(ctx, socket) == nil {
			return address, nil
		}
	}
	return "", errNoBus
}

// busSocket is the name of the Unix socket in an address such as unix:path=/run/user/1000/bus,guid=01ab. Other
// transports are for other machines, or start a bus.
func busSocket(address string) (string, bool) {
	pairs, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", false
	}
	for pair := range strings.SplitSeq(pairs, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		if err != nil || value == "" {
			return "", false
		}
		switch key {
		case "path":
			return value, true
		case "abstract":
			return "@" + value, true
		}
	}
	return "", false
}

// greetBus signs in at a bus as this user, and leaves. That the socket takes connections is not enough.
func greetBus(ctx context.Context, socket string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return err
		}
	}
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Getuid())))
	if _, err := fmt.Fprintf(conn, "\x00AUTH EXTERNAL %s\r\n", uid); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadSlice('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return errNoBus
	}
	return nil
}
