package keychain

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/castray/castray/oauth"
)

// Shared is a Store that several processes of one user work on at once, such as
// the agents of somebody who is signed on to a terminal server twice. It adds a
// lock for each key, a file in Dir, which is never deleted: who had opened the
// old file would not see the lock on the new one.
//
// The lock belongs to the open file, so it ends with the process that holds it,
// however that ends. It keeps out only those who ask for it.
type Shared struct {
	oauth.Store
	Dir string // the same for all who share the store; made when it is needed
}

// pollFirst and pollLast are between two looks at a lock that is held: a wait in
// the kernel could not be given up.
const (
	pollFirst = 10 * time.Millisecond
	pollLast  = 200 * time.Millisecond
)

// Lock waits for the lock of key until ctx ends. The caller gives it back with
// unlock. An error says that there is no lock, and why in words without paths.
func (s Shared) Lock(ctx context.Context, key string) (unlock func(), err error) {
	if s.Dir == "" {
		return nil, errNoLock
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, errNoLock
	}
	f, err := openLock(filepath.Join(s.Dir, "sign-in-"+key+".lock"))
	if err != nil {
		return nil, errNoLock
	}
	// Somebody may have put something there that behaves differently.
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errNoLock
	}
	for poll := pollFirst; ; poll = min(2*poll, pollLast) {
		held, err := tryLock(f)
		switch {
		case err != nil:
			_ = f.Close()
			return nil, errNoLock
		case held:
			return func() { release(f) }, nil
		}
		t := time.NewTimer(poll)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			_ = f.Close()
			return nil, ctx.Err()
		}
	}
}

var errNoLock = errors.New("there is no lock file that can be used")
