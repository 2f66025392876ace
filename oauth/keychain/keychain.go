// Package keychain keeps a sign-in, and the secret or key that an installation
// proves itself with: OS in the keychain of the operating system (Secret
// Service, Credential Manager, macOS keychain), Memory for as long as the
// process lives. Both are an oauth.Store; Shared adds a lock for the several
// processes of one user.
//
// The libraries below take no context, have no common limit and tell their
// errors as text. This package gives each call a deadline, cuts a value into
// pieces that every keychain takes, replaces it in one step, and knows four
// errors: fs.ErrNotExist, oauth.ErrLocked, oauth.ErrUnavailable and
// oauth.ErrTooBig. No error carries the library's words, which name sockets
// and paths.
//
// State: an OS lets one operation in at a time. A library call that does not
// return is left behind, at most one; until it ends, later operations answer
// oauth.ErrLocked at once.
package keychain

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/castray/castray/oauth"
)

// Service is the name under which items stand in the keychain. Accounts are
// hashes, so that a keychain viewer shows neither site nor user.
const Service = "io.github.castray/v1"

// MaxValue is how many bytes Save takes.
const MaxValue = 32 << 10

// defaultLimit is for an operation whose ctx has no deadline.
const defaultLimit = 5 * time.Second

// OS is the keychain of the operating system. Make it with New. Its methods
// may be called from several goroutines.
type OS struct {
	set       func(service, account, text string) error
	get       func(service, account string) (string, error)
	del       func(service, account string) error
	reachable func() error

	turn   chan struct{} // holds one token; who has it owns behind
	behind chan struct{} // closed when the call left behind has ended; nil = none
}

// New starts nothing and touches nothing.
func New() *OS {
	return newOS(keyring.Set, keyring.Get, keyring.Delete, reachable)
}

func newOS(set func(service, account, text string) error, get func(service, account string) (string, error),
	del func(service, account string) error, reachable func() error) *OS {
	o := &OS{set: set, get: get, del: del, reachable: reachable, turn: make(chan struct{}, 1)}
	o.turn <- struct{}{}
	return o
}

// enter waits for the turn and checks that the library may be called. The
// caller defers leave.
func (o *OS) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	cancel := context.CancelFunc(func() {})
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, defaultLimit)
	}
	select {
	case <-o.turn:
	case <-ctx.Done():
		cancel()
		return ctx, nil, late(ctx)
	}
	leave = func() { cancel(); o.turn <- struct{}{} }
	if o.behind != nil {
		select {
		case <-o.behind:
			o.behind = nil
		default:
			leave()
			return ctx, nil, oauth.ErrLocked
		}
	}
	if err := o.reachable(); err != nil {
		leave()
		return ctx, nil, err
	}
	return ctx, leave, nil
}

// call makes one library call and waits for it until ctx ends. A call left
// behind waits for an unlock prompt that nobody answers or sees; its result is
// dropped.
func (o *OS) call(ctx context.Context, f func() error) error {
	if o.behind != nil {
		return oauth.ErrLocked
	}
	if ctx.Err() != nil {
		return late(ctx)
	}
	done := make(chan struct{})
	var err error
	go func() { // ends with the library call; if that is late, enter sees to it
		defer close(done)
		err = f()
	}()
	select {
	case <-done:
		return clean(err)
	case <-ctx.Done():
		o.behind = done
		return late(ctx)
	}
}

// late is the error of a ctx that ended: a deadline means a prompt.
func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return oauth.ErrLocked
	}
	return ctx.Err()
}

func (o *OS) put(ctx context.Context, account, text string) error {
	return o.call(ctx, func() error { return o.set(Service, account, text) })
}

func (o *OS) read(ctx context.Context, account string) (string, error) {
	// The closure writes to its own variable: a late call must not write to
	// one that is being returned.
	text := new(string)
	if err := o.call(ctx, func() (err error) { *text, err = o.get(Service, account); return err }); err != nil {
		return "", err
	}
	return *text, nil
}

// remove deletes an item; one that is not there is fine.
func (o *OS) remove(ctx context.Context, account string) error {
	err := o.call(ctx, func() error { return o.del(Service, account) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// clean maps what the libraries answer. The texts were observed with go-keyring
// 0.2.8 against gnome-keyring. What is not known is ErrUnavailable.
func clean(err error) error {
	var exit interface{ ExitCode() int }
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return fs.ErrNotExist
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return oauth.ErrTooBig
	case strings.Contains(err.Error(), "failed to unlock"), strings.Contains(err.Error(), "IsLocked"):
		return oauth.ErrLocked
	case errors.As(err, &exit) && exit.ExitCode() == interactionNotAllowed:
		return oauth.ErrLocked
	}
	return oauth.ErrUnavailable
}

// interactionNotAllowed is how macOS' security tool ends when the keychain is
// locked and no prompt can be shown: errSecInteractionNotAllowed (-25308) as an
// exit code.
const interactionNotAllowed = 36

// Memory keeps values for as long as the process lives. The zero Memory is
// empty and ready; its methods may be called from several goroutines.
type Memory struct {
	mu    sync.Mutex
	items map[string][]byte
}

// Load returns a copy, or fs.ErrNotExist.
func (m *Memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.items[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return append([]byte{}, v...), nil
}

// Save keeps a copy, or returns oauth.ErrTooBig as OS does.
func (m *Memory) Save(_ context.Context, key string, value []byte) error {
	if len(value) > MaxValue {
		return oauth.ErrTooBig
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.items == nil {
		m.items = map[string][]byte{}
	}
	m.items[key] = append([]byte{}, value...)
	return nil
}

// Delete forgets key.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, key)
	return nil
}
