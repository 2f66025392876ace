package subscriber

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// ErrDenied is what Run returns when the hub denied the subscription, and denied it again within 60 s
// (FHIRcast 3.0.0, 2.4.4).
var ErrDenied = errors.New("the hub denies the subscription")

// errEndpoint: a hub that sends us elsewhere could be sending us to anybody.
var errEndpoint = errors.New("the hub names a socket that is not wss on its own host or one of hub.socket_hosts")

// errTopicAddress: likewise.
var errTopicAddress = errors.New("the topic is not an https address at the hub's own host")

var errNoEndpoint = errors.New("the hub named no socket")

// errPage: what answers in a hub's place before a guest network or a filtering proxy lets us through.
var errPage = errors.New("a web page answered in the hub's place")

var errFrameTime = fmt.Errorf("a frame of the hub's took longer than %v", frameTime)

// A StatusError is a hub's refusal. Its text holds nothing that the hub wrote.
type StatusError struct {
	Status int

	retryAfter time.Duration
}

func (e *StatusError) Error() string { return fmt.Sprintf("the hub answered %d", e.Status) }

// A lineError is a foreign error in words of ours: what net/http, gorilla and the system write may hold a topic, a
// socket address or an answer. Those who must know whether the cause was theirs can still unwrap it.
type lineError struct {
	words string
	cause error
}

func (e *lineError) Error() string { return e.words }
func (e *lineError) Unwrap() error { return e.cause }

// clean puts a foreign error into our words. Errors that are ours stay; deadline tells what was not done in time.
func clean(err error, deadline string) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var status *StatusError
	var line *lineError
	var proxy *proxyError
	if errors.As(err, &status) || errors.As(err, &line) || errors.As(err, &proxy) || ours(err) {
		return err
	}
	if answered, ok := errors.AsType[interface {
		error
		ProxyStatus() int
	}](err); ok {
		return &proxyError{answered.ProxyStatus()} // of a client that asks its proxies itself
	}
	if strings.EqualFold(err.Error(), http.StatusText(http.StatusProxyAuthRequired)) {
		return &proxyError{http.StatusProxyAuthRequired} // how net/http says it, of a client that has no better words
	}
	return &lineError{words: words(err, deadline), cause: err}
}

func ours(err error) bool {
	for _, e := range []error{errEndpoint, errTopicAddress, errNoEndpoint, errPage, errTooLarge, errProxyAddress, errFrameTime, errUpgrade} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func words(err error, deadline string) string {
	var (
		timeout  net.Error
		dns      *net.DNSError
		op       *net.OpError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		unknown  x509.UnknownAuthorityError
		record   tls.RecordHeaderError
		alert    tls.AlertError
		closed   *websocket.CloseError
		system   syscall.Errno
	)
	whose := "the hub"
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		whose = "the proxy"
	}
	switch {
	case errors.As(err, &dns) && dns.IsTimeout:
		return whose + "'s name could not be looked up: no name server answers"
	case errors.As(err, &dns):
		return whose + "'s name is not known here"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return deadline
	case errors.Is(err, context.Canceled):
		return "given up"
	case whose == "the proxy":
		return "the proxy cannot be reached"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the hub's certificate has expired or is not valid yet"
	case errors.As(err, &hostname):
		return "the hub's certificate is for another name"
	case errors.As(err, &unknown):
		return "the hub's certificate is from an authority that this computer does not trust"
	case errors.As(err, &invalid):
		return "the hub's certificate is not valid"
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &op) && op.Op == "remote error", strings.HasPrefix(err.Error(), "tls: "):
		return "the hub does not speak TLS with us"
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return fmt.Sprintf("the hub closed the socket (%d)", closed.Code)
	case errors.Is(err, websocket.ErrReadLimit):
		return "the hub sent a frame larger than 32 MiB"
	case errors.As(err, &op) && op.Op == "dial":
		return "the hub cannot be reached"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &op), errors.As(err, &closed), errors.As(err, &system):
		return "the connection broke"
	}
	return "the connection failed"
}

// A cause is why a try failed or a line ended.
type cause struct {
	reason     reason
	words      string
	retryAfter time.Duration
}

func causeOf(err error) cause {
	c := cause{words: err.Error()}
	var status *StatusError
	if errors.As(err, &status) {
		c.retryAfter = status.retryAfter
		if status.Status == 401 || status.Status == 403 {
			c.reason = forbidden
		}
	}
	var proxy *proxyError
	if errors.As(err, &proxy) && proxy.status == http.StatusProxyAuthRequired {
		c.reason = forbidden // wrong passwords lock accounts
	}
	return c
}
