package keychain

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/castray/castray/oauth"
)

var (
	_ oauth.Store = (*OS)(nil)
	_ oauth.Store = (*Memory)(nil)
)

// fake is a keychain with the narrowest limit of all (Windows). It can crash
// after any number of changes, and hang.
type fake struct {
	mu     sync.Mutex
	items  map[string]string
	writes int           // changes so far
	crash  int           // after so many changes nothing works; -1 = never
	hang   chan struct{} // set: calls wait for it
	onGet  func(account string)
	calls  int
}

func newFake() *fake { return &fake{items: map[string]string{}, crash: -1} }

var errCrash = errors.New("crashed at /run/user/1000/secret-path")

func (f *fake) enter() {
	f.mu.Lock()
	f.calls++
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
}

func (f *fake) set(service, account, text string) error {
	f.enter()
	f.mu.Lock()
	defer f.mu.Unlock()
	if service != Service {
		return fmt.Errorf("service %q", service)
	}
	if len(text) > 2560 {
		return keyring.ErrSetDataTooBig
	}
	if f.crash >= 0 && f.writes >= f.crash {
		return errCrash
	}
	f.writes++
	f.items[account] = text
	return nil
}

func (f *fake) get(_, account string) (string, error) {
	f.enter()
	if f.onGet != nil {
		f.onGet(account)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, ok := f.items[account]
	if !ok {
		return "", keyring.ErrNotFound
	}
	return v, nil
}

func (f *fake) del(_, account string) error {
	f.enter()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.items[account]; !ok {
		return keyring.ErrNotFound
	}
	if f.crash >= 0 && f.writes >= f.crash {
		return errCrash
	}
	f.writes++
	delete(f.items, account)
	return nil
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fake) os() *OS { return newOS(f.set, f.get, f.del, func() error { return nil }) }

const key = "0123456789abcdef0123456789abcdef"

func value(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func TestSizes(t *testing.T) {
	// SM-STORE-03
	ctx := t.Context()
	f := newFake()
	o := f.os()
	var last []byte
	for _, n := range []int{0, 1, 1999, 2000, 2001, 20000, MaxValue, 5} {
		last = value(n)
		if err := o.Save(ctx, key, last); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		got, err := f.os().Load(ctx, key)
		if err != nil || !bytes.Equal(got, last) {
			t.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
		}
		for account, text := range f.items {
			if len(text) > pieceSize {
				t.Errorf("item %s has %d bytes", account, len(text))
			}
		}
	}
	for _, n := range []int{MaxValue + 1, 40000} {
		if err := o.Save(ctx, key, value(n)); !errors.Is(err, oauth.ErrTooBig) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if got, err := o.Load(ctx, key); err != nil || !bytes.Equal(got, last) {
		t.Error("a value that is too big cost the one before")
	}
	if len(f.items) != 2 {
		t.Errorf("%d items for a small value, want header and piece", len(f.items))
	}
	if err := o.Delete(ctx, key); err != nil || len(f.items) != 0 {
		t.Errorf("after Delete: %v, %d items", err, len(f.items))
	}
	if _, err := o.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Delete: %v", err)
	}
	if err := o.Delete(ctx, key); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
}

func TestCrashAfterEveryWrite(t *testing.T) {
	// SM-STORE-04, SM-STORE-11
	ctx := t.Context()
	sizes := []int{1, 2001, 9000, 3000}
	for _, before := range sizes {
		for _, after := range sizes {
			for n := 0; ; n++ {
				f := newFake()
				old, young := value(before), value(after)
				if err := f.os().Save(ctx, key, old); err != nil {
					t.Fatal(err)
				}
				f.crash = f.writes + n
				err := f.os().Save(ctx, key, young)
				crashed := f.writes == f.crash
				f.crash = -1
				got, loadErr := f.os().Load(ctx, key)
				switch {
				case loadErr != nil:
					t.Fatalf("%d to %d, crash after %d: %v", before, after, n, loadErr)
				case err == nil && !bytes.Equal(got, young), err != nil && !bytes.Equal(got, old):
					t.Fatalf("%d to %d, crash after %d: Save said %v and Load gave something else", before, after, n, err)
				}
				// A third value, interrupted or not, and nothing is left of any.
				if err := f.os().Save(ctx, key, value(1)); err != nil {
					t.Fatal(err)
				}
				if err := f.os().Delete(ctx, key); err != nil || len(f.items) != 0 {
					t.Fatalf("%d to %d, crash after %d: %d items left, %v", before, after, n, len(f.items), err)
				}
				if !crashed {
					break
				}
			}
		}
	}
}

func TestCrashDuringDelete(t *testing.T) {
	// SM-STORE-11
	ctx := t.Context()
	for n := 0; ; n++ {
		f := newFake()
		if err := f.os().Save(ctx, key, value(9000)); err != nil {
			t.Fatal(err)
		}
		f.crash = f.writes + n
		err := f.os().Delete(ctx, key)
		f.crash = -1
		if err == nil {
			if n == 0 {
				t.Fatal("Delete changed nothing")
			}
			return
		}
		if got, err := f.os().Load(ctx, key); n > 0 && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("crash after %d: Load gave %d bytes, %v", n, len(got), err)
		}
		if err := f.os().Delete(ctx, key); err != nil || len(f.items) != 0 {
			t.Fatalf("crash after %d: %d items left, %v", n, len(f.items), err)
		}
	}
}

func TestRubbishCountsAsNothing(t *testing.T) {
	// SM-STORE-04
	ctx := t.Context()
	for name, spoil := range map[string]func(map[string]string){
		"piece missing":        func(m map[string]string) { delete(m, piece(key, 1, 1)) },
		"first piece missing":  func(m map[string]string) { delete(m, piece(key, 1, 0)) },
		"piece changed":        func(m map[string]string) { m[piece(key, 1, 0)] = strings.Repeat("x", pieceSize) },
		"piece shorter":        func(m map[string]string) { m[piece(key, 1, 2)] = "x" },
		"header of the future": func(m map[string]string) { m[key] = "castray2" + m[key][8:] },
		"header is prose":      func(m map[string]string) { m[key] = "hello" },
		"header counts more":   func(m map[string]string) { m[key] = strings.Replace(m[key], " 3 ", " 999 ", 1) },
		"header counts less":   func(m map[string]string) { m[key] = strings.Replace(m[key], " 3 ", " -3 ", 1) },
	} {
		f := newFake()
		if err := f.os().Save(ctx, key, value(5000)); err != nil {
			t.Fatal(err)
		}
		spoil(f.items)
		if v, err := f.os().Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %d bytes, %v", name, len(v), err)
		}
		if _, ok := f.items[key]; ok {
			t.Errorf("%s: the header stayed", name)
		}
	}
}

// SM-STORE-04: another process replaces the value between our header and our
// pieces, and again. What it wrote is not taken for rubbish.
func TestReplacedWhileItIsRead(t *testing.T) {
	ctx := t.Context()
	for times := 1; times <= 3; times++ {
		f := newFake()
		if err := f.os().Save(ctx, key, value(5000)); err != nil {
			t.Fatal(err)
		}
		var last []byte
		left := times
		f.onGet = func(account string) {
			if account == key || left == 0 {
				return
			}
			left--
			last = value(3000)
			hook := f.onGet
			f.onGet = nil
			if err := f.os().Save(ctx, key, last); err != nil {
				t.Fatal(err)
			}
			f.onGet = hook
		}
		got, err := f.os().Load(ctx, key)
		if err != nil || !bytes.Equal(got, last) || left != 0 {
			t.Errorf("replaced %d times: %d bytes, %v", times, len(got), err)
		}
	}
}

func TestHangingCall(t *testing.T) {
	// SM-STORE-05
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		o := f.os()
		hang := make(chan struct{})
		f.hang = hang
		start := time.Now()
		if _, err := o.Load(t.Context(), key); !errors.Is(err, oauth.ErrLocked) || time.Since(start) != 5*time.Second {
			t.Errorf("nobody answers the prompt: %v after %v", err, time.Since(start))
		}
		// At most one call is left behind: later ones fail at once, without
		// touching the library.
		calls := f.count()
		start = time.Now()
		for range 3 {
			if err := o.Save(t.Context(), key, []byte("x")); !errors.Is(err, oauth.ErrLocked) {
				t.Errorf("while one hangs: %v", err)
			}
			if err := o.Delete(t.Context(), key); !errors.Is(err, oauth.ErrLocked) {
				t.Errorf("while one hangs: %v", err)
			}
		}
		if f.count() != calls || time.Since(start) != 0 {
			t.Errorf("%d more calls, %v", f.count()-calls, time.Since(start))
		}
		// The user unlocks: the late result is dropped and all works again.
		f.mu.Lock()
		f.hang = nil
		f.mu.Unlock()
		close(hang)
		synctest.Wait()
		if err := o.Save(t.Context(), key, []byte("x")); err != nil {
			t.Errorf("after the prompt was answered: %v", err)
		}
	})
}

func TestPatienceIsTheCallers(t *testing.T) {
	// SM-STORE-05: 60 s for the first call after sign-in, as ctx says.
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		hang := make(chan struct{})
		f.hang = hang
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			time.Sleep(50 * time.Second)
			f.mu.Lock()
			f.hang = nil
			f.mu.Unlock()
			close(hang)
		}()
		if err := f.os().Save(ctx, key, []byte("x")); err != nil {
			t.Errorf("the user typed for 50 s: %v", err)
		}
	})
}

func TestCancelledCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		hang := make(chan struct{})
		f.hang = hang
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Second); cancel() }()
		if _, err := f.os().Load(ctx, key); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		close(hang)
	})
}

func TestErrors(t *testing.T) {
	// SM-STORE-06. The texts are those that go-keyring 0.2.8 was seen to give.
	for text, want := range map[string]error{
		`exec: "dbus-launch": executable file not found in $PATH`:                         oauth.ErrUnavailable,
		`dial unix /run/user/1000/bus: connect: no such file or directory`:                oauth.ErrUnavailable,
		`The name org.freedesktop.secrets was not provided by any .service files`:         oauth.ErrUnavailable,
		`failed to unlock correct collection '/org/freedesktop/secrets/collection/login'`: oauth.ErrLocked,
		`failed to unlock correct collection '/org/freedesktop/secrets/aliases/default'`:  oauth.ErrLocked,
		`something new`: oauth.ErrUnavailable,
	} {
		fail := errors.New(text)
		o := newOS(func(_, _, _ string) error { return fail }, func(_, _ string) (string, error) { return "", fail },
			func(_, _ string) error { return fail }, func() error { return nil })
		_, loadErr := o.Load(t.Context(), key)
		for _, err := range []error{loadErr, o.Save(t.Context(), key, []byte("x")), o.Delete(t.Context(), key)} {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", text, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "/") {
				t.Errorf("the error passes a path on: %v", err)
			}
		}
	}
	if !errors.Is(clean(exitError(36)), oauth.ErrLocked) || !errors.Is(clean(exitError(1)), oauth.ErrUnavailable) {
		t.Error("macOS exit codes")
	}
	if !errors.Is(clean(keyring.ErrSetDataTooBig), oauth.ErrTooBig) || clean(nil) != nil {
		t.Error("library errors")
	}
}

type exitError int

func (e exitError) Error() string { return "exit status" }
func (e exitError) ExitCode() int { return int(e) }

func TestUnreachableIsNotTouched(t *testing.T) {
	// SM-STORE-08
	f := newFake()
	o := newOS(f.set, f.get, f.del, func() error { return oauth.ErrUnavailable })
	_, err := o.Load(t.Context(), key)
	if !errors.Is(err, oauth.ErrUnavailable) || !errors.Is(o.Save(t.Context(), key, nil), oauth.ErrUnavailable) ||
		!errors.Is(o.Delete(t.Context(), key), oauth.ErrUnavailable) || f.calls != 0 {
		t.Errorf("%v, %d calls", err, f.calls)
	}
}

func TestMemory(t *testing.T) {
	ctx := t.Context()
	var m Memory
	if _, err := m.Load(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty: %v", err)
	}
	v := []byte("one")
	if err := m.Save(ctx, "a", v); err != nil {
		t.Fatal(err)
	}
	v[0] = 'X'
	if got, err := m.Load(ctx, "a"); err != nil || string(got) != "one" {
		t.Errorf("%q, %v", got, err)
	}
	if err := m.Save(ctx, "a", make([]byte, MaxValue+1)); !errors.Is(err, oauth.ErrTooBig) {
		t.Errorf("too big: %v", err)
	}
	for range 2 { // the second time there is nothing
		if err := m.Delete(ctx, "a"); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Load(ctx, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
}

func TestNamesTellNothing(t *testing.T) {
	// SM-STORE-10: the names of the items are service and hashes.
	f := newFake()
	if err := f.os().Save(t.Context(), key, value(3000)); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{key: true, key + ".1.0": true, key + ".1.1": true}
	for account := range f.items {
		if !want[account] {
			t.Errorf("item %q", account)
		}
	}
	if len(f.items) != 3 || Service != "io.github.castray/v1" {
		t.Errorf("%d items of %s", len(f.items), Service)
	}
}
