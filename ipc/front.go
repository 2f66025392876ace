package ipc

import (
	"errors"
	"fmt"
	"net"
	"net/http"
)

// A Front says who may use an HTTP server of ours at 127.0.0.1 that speaks something else than the local protocol, by the
// rules of the loopback WebSocket. Its methods may be called from any goroutine.
type Front struct {
	rule webRule
	us   Peer
}

// NewFront is for a server at that port, for programs and for pages of these origins that show the app_key.
func NewFront(port int, origins []string, appKey string) (*Front, error) {
	if appKey == "" {
		return nil, errors.New("serve apps at the loopback: there is no app_key")
	}
	us, err := self()
	if err != nil {
		return nil, fmt.Errorf("serve apps at the loopback: %w", err)
	}
	return &Front{rule: newWebRule(port, origins, appKey), us: us}, nil
}

// Peer is the program at the other end of a connection that was accepted there: of our user and logon session, or the
// error says that it is not. On macOS nobody can tell, so it is our user's and its program unknown, and the key decides.
// Whoever asked calls Release of the Peer.
func (f *Front) Peer(c net.Conn) (Peer, error) {
	ours, theirs, err := ends(c)
	if err != nil {
		return Peer{}, err
	}
	p, err := loopbackPeer(theirs, ours)
	if errors.Is(err, errors.ErrUnsupported) {
		p, err = Peer{User: f.us.User, Session: f.us.Session}, nil
	}
	if err == nil {
		err = admit(f.us, p)
	}
	if err != nil {
		p.Release()
		return Peer{}, err
	}
	return identify(p, theirs, ours), nil
}

// Refuse says why a request is refused for where it comes from, and with what status; 0 when it is not.
func (f *Front) Refuse(r *http.Request) (status int, sentence string) {
	if no := f.rule.judgeSender(r); no != nil {
		return no.status, no.sentence
	}
	return 0, ""
}

// Opens tells whether a request shows the app_key as its bearer token.
func (f *Front) Opens(r *http.Request) bool { return f.rule.opens(keysShown(r, nil)) }
