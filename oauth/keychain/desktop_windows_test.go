//go:build desktop

package keychain

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/zalando/go-keyring"

	"github.com/castray/castray/oauth"
)

// TestDesktopCredentialManager writes to the Credential Manager of the user who
// runs it, under a key of its own, and leaves nothing.
func TestDesktopCredentialManager(t *testing.T) {
	ctx := t.Context()
	const own = "castray-desktop-test"
	o := New()
	defer func() { _ = New().Delete(ctx, own) }() // also after a failure
	if err := o.Delete(ctx, own); err != nil {
		t.Fatalf("delete an absent item: %v", err)
	}
	if _, err := o.Load(ctx, own); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("absent item: %v", err)
	}
	big := bytes.Repeat([]byte("Grüße \x00\xff\n"), 2000)[:20000]
	for _, n := range []int{1, 2000, 2001, 20000, 3} {
		if err := o.Save(ctx, own, big[:n]); err != nil {
			t.Fatalf("save %d bytes: %v", n, err)
		}
		got, err := New().Load(ctx, own)
		if err != nil || !bytes.Equal(got, big[:n]) {
			t.Fatalf("load %d bytes: %d came back, %v", n, len(got), err)
		}
	}
	// SM-STORE-03: the limit that the pieces are made for is real.
	err := keyring.Set(Service, own+".limit", strings.Repeat("x", 2561))
	if !errors.Is(clean(err), oauth.ErrTooBig) {
		t.Errorf("2561 bytes in one item: %v", err)
	}
	if err := o.Delete(ctx, own); err != nil {
		t.Fatalf("delete: %v", err)
	}
	for slot := range 2 {
		for i := range maxPieces {
			if _, err := keyring.Get(Service, piece(own, slot, i)); !errors.Is(err, keyring.ErrNotFound) {
				t.Errorf("piece %d of slot %d is left: %v", i, slot, err)
			}
		}
	}
}
