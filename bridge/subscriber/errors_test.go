package subscriber

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
)

// Foreign errors hold addresses, names and what the hub wrote. Ours hold words of ours, and can still be asked.
func TestCleanErrors(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Addr: address(canary), Err: err} }
	verify := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{context.DeadlineExceeded, "no answer within 1s"},
		{context.Canceled, "given up"},
		{dial(context.DeadlineExceeded), "no answer within 1s"},
		{dial(&net.DNSError{Err: canary, Name: canary, IsNotFound: true}), "the hub's name is not known here"},
		{dial(syscall.ECONNREFUSED), "the hub cannot be reached"},
		{dial(syscall.EHOSTUNREACH), "the hub cannot be reached"},
		{verify(x509.CertificateInvalidError{Reason: x509.Expired, Detail: canary}), "the hub's certificate has expired or is not valid yet"},
		{verify(x509.CertificateInvalidError{Reason: x509.NameMismatch, Detail: canary}), "the hub's certificate is not valid"},
		{verify(x509.HostnameError{Certificate: &x509.Certificate{}, Host: canary}), "the hub's certificate is for another name"},
		{verify(x509.UnknownAuthorityError{}), "the hub's certificate is from an authority that this computer does not trust"},
		{tls.RecordHeaderError{Msg: canary}, "the hub does not speak TLS with us"},
		{tls.AlertError(40), "the hub does not speak TLS with us"},
		{&websocket.CloseError{Code: 4001, Text: canary}, "the hub closed the socket (4001)"},
		{&websocket.CloseError{Code: 1006, Text: canary}, "the connection broke"},
		{io.EOF, "the connection broke"},
		{io.ErrUnexpectedEOF, "the connection broke"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "the connection broke"},
		{errors.New("websocket: bad opcode " + canary), "the connection failed"},
		{errors.New("Proxy Authentication Required " + canary), "the connection failed"},
		{&StatusError{Status: 418}, "the hub answered 418"},
		{fmt.Errorf("subscribe: %w", errEndpoint), "subscribe: " + errEndpoint.Error()},
	} {
		for _, err := range []error{tt.err, &url.Error{Op: "Post", URL: "https://" + canary, Err: tt.err}} {
			got := clean(err, "no answer within 1s")
			if _, wrapped := err.(*url.Error); wrapped && strings.Contains(got.Error(), canary) {
				t.Errorf("%q tells", got)
			}
			if got.Error() != tt.want {
				t.Errorf("%T: %q, want %q", tt.err, got, tt.want)
			}
			if !errors.Is(got, tt.err) && fmt.Sprint(errors.Unwrap(got)) != fmt.Sprint(tt.err) {
				t.Errorf("%T: its cause is lost", tt.err)
			}
			if again := clean(fmt.Errorf("again: %w", got), "x"); again.Error() != "again: "+tt.want {
				t.Errorf("cleaned twice: %q", again)
			}
		}
	}
}

// FM-31: what a proxy answered to a client that is not ours is told in our words too, and waited for as long.
func TestAProxyThatAnotherClientAsked(t *testing.T) {
	for status, want := range map[int]string{407: (&proxyError{407}).Error(), 502: "the proxy answered 502"} {
		got := clean(&url.Error{Op: "Post", URL: "https://" + canary, Err: fmt.Errorf(canary+": %w", proxyStatus(status))}, "")
		if got.Error() != want || (causeOf(got).reason == forbidden) != (status == 407) {
			t.Errorf("%d: %q, %v", status, got, causeOf(got).reason)
		}
	}
}

type proxyStatus int

func (p proxyStatus) Error() string    { return canary }
func (p proxyStatus) ProxyStatus() int { return int(p) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }
