package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
)

// DialWebSocket connects to the agent at ws://127.0.0.1:<port>/v1 with the app_key of castray.json, and checks that it is
// a process of our user before a message is sent to it, where the operating system tells. errors.Is(err, fs.ErrNotExist)
// holds when nobody listens there.
func DialWebSocket(ctx context.Context, address, appKey string) (*Conn, error) {
	us, err := self()
	if err != nil {
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	return dialWebSocketAs(ctx, us, address, appKey)
}

func dialWebSocketAs(ctx context.Context, us Peer, address, appKey string) (*Conn, error) {
	if _, err := webPort(address); err != nil {
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	dialer := websocket.Dialer{ReadBufferSize: appBuffer, Subprotocols: []string{subprotocol}}
	ws, resp, err := dialer.DialContext(ctx, address, http.Header{"Authorization": {"Bearer " + appKey}})
	switch {
	case err == nil:
	case nobodyThere(err):
		return nil, fmt.Errorf("connect to the agent: none is running: %w", fs.ErrNotExist)
	case resp != nil && resp.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("connect to the agent: the app_key is not that of this run; read castray.json again")
	case resp != nil:
		return nil, fmt.Errorf("connect to the agent: who listens there answered %d", resp.StatusCode)
	default:
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	s := newSocket(ws, Peer{}, nil)
	if s.peer, err = listenerAt(ws.NetConn(), us); err == nil {
		err = trust(us, s.peer)
	}
	if err != nil {
		ws.Close()
		return nil, fmt.Errorf("connect to the agent: %w", err)
	}
	return newConn(s, s.peer, nil), nil
}

// listenerAt is who took our connection, us where the operating system does not tell.
func listenerAt(c net.Conn, us Peer) (Peer, error) {
	ours, theirs, err := ends(c)
	if err != nil {
		return Peer{}, err
	}
	agent, err := loopbackPeer(theirs, ours)
	if errors.Is(err, errors.ErrUnsupported) {
		agent, err = Peer{User: us.User}, nil
	}
	agent.Via = ViaWebSocket
	return agent, err
}

// isWebSocket tells the address of a WebSocket from that of a socket or pipe.
func isWebSocket(address string) bool { return strings.HasPrefix(address, "ws://") }

var errNoWebSocket = errors.New("a WebSocket of the local protocol is at ws://127.0.0.1:<port>" + webPath)

// webPort is the port of such an address. Others are refused: the key is for this machine only.
func webPort(address string) (int, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "ws" || u.Path != webPath || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return 0, errNoWebSocket
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil || !at.Addr().IsLoopback() || at.Port() == 0 {
		return 0, errNoWebSocket
	}
	return int(at.Port()), nil
}
