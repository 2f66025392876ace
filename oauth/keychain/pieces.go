package keychain

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/castray/castray/oauth"
)

// A value stands in the keychain as a header item, named by the key, and pieces
// named by key, slot and index. A generation lies in the slot of its parity, so
// a new one never overwrites the one that the header names, and what a crash
// leaves behind has a name that can be computed: the libraries cannot list.
const (
	pieceSize = 2000 // bytes; Windows takes 2,560, macOS about 2,950
	maxPieces = (MaxValue + pieceSize - 1) / pieceSize
	format    = "castray1"
)

// header is the only thing that makes pieces valid. It is written last.
type header struct {
	generation    uint64
	count, length int
	sum           string // SHA-256 of the value, hex
}

func (h header) text() string {
	return fmt.Sprintf("%s %d %d %d %s", format, h.generation, h.count, h.length, h.sum)
}

func (h header) slot() int { return int(h.generation % 2) }

func parseHeader(s string) (header, bool) {
	var h header
	var f string
	n, err := fmt.Sscanf(s, "%s %d %d %d %s", &f, &h.generation, &h.count, &h.length, &h.sum)
	if err != nil || n != 5 || f != format || h.text() != s ||
		h.count < 0 || h.count > maxPieces || h.length < 0 || h.length > MaxValue {
		return header{}, false
	}
	return h, true
}

func headerFor(generation uint64, value []byte) header {
	sum := sha256.Sum256(value)
	return header{generation, (len(value) + pieceSize - 1) / pieceSize, len(value), hex.EncodeToString(sum[:])}
}

func piece(key string, slot, i int) string {
	return key + "." + strconv.Itoa(slot) + "." + strconv.Itoa(i)
}

// Save replaces the value in one step: after a crash Load gives the old or the
// new one. Up to MaxValue bytes, else oauth.ErrTooBig; also oauth.ErrLocked,
// oauth.ErrUnavailable. It ends with ctx, or after five seconds if that has no
// deadline.
func (o *OS) Save(ctx context.Context, key string, value []byte) error {
	if len(value) > MaxValue {
		return oauth.ErrTooBig
	}
	ctx, leave, err := o.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	text, err := o.read(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old, had := parseHeader(text)
	h := headerFor(old.generation+1, value)
	for i := range h.count {
		part := value[i*pieceSize : min((i+1)*pieceSize, len(value))]
		if err := o.put(ctx, piece(key, h.slot(), i), string(part)); err != nil {
			return err
		}
	}
	if err := o.put(ctx, key, h.text()); err != nil {
		return err
	}
	if had {
		// The new value holds. What cannot be deleted now is overwritten by
		// the next Save, or deleted by Delete.
		_ = o.removePieces(ctx, key, old.slot(), old.count)
	}
	return nil
}

// Load returns the value, or fs.ErrNotExist; also oauth.ErrLocked,
// oauth.ErrUnavailable. Pieces that do not fit their header are as good as
// nothing, and are deleted, unless another process has replaced the value
// meanwhile: then that is returned. It ends as Save does.
func (o *OS) Load(ctx context.Context, key string) ([]byte, error) {
	ctx, leave, err := o.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for before := ""; ; {
		text, err := o.read(ctx, key)
		if err != nil {
			return nil, err
		}
		h, ok := parseHeader(text)
		value, err := o.readPieces(ctx, key, h)
		switch {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case ok && err == nil && headerFor(h.generation, value) == h:
			return value, nil
		case text == before:
			_ = o.removeAll(ctx, key, h) // Delete will do it if this cannot
			return nil, fs.ErrNotExist
		}
		before = text
	}
}

// readPieces puts together what h names, or returns fs.ErrNotExist where a
// piece is missing.
func (o *OS) readPieces(ctx context.Context, key string, h header) ([]byte, error) {
	value := make([]byte, 0, h.length)
	for i := range h.count {
		part, err := o.read(ctx, piece(key, h.slot(), i))
		if err != nil {
			return nil, err
		}
		value = append(value, part...)
	}
	return value, nil
}

// Delete removes the value and whatever an interrupted Save left. Nothing there
// is no error; oauth.ErrLocked, oauth.ErrUnavailable. It ends as Save does.
func (o *OS) Delete(ctx context.Context, key string) error {
	ctx, leave, err := o.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	text, err := o.read(ctx, key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	h, _ := parseHeader(text)
	return o.removeAll(ctx, key, h)
}

// removeAll takes the header first: without it nothing is believed. h is what
// the header said, if it could be read.
func (o *OS) removeAll(ctx context.Context, key string, h header) error {
	if err := o.remove(ctx, key); err != nil {
		return err
	}
	for slot := range 2 {
		known := 0
		if slot == h.slot() {
			known = h.count
		}
		if err := o.removePieces(ctx, key, slot, known); err != nil {
			return err
		}
	}
	return nil
}

// removePieces empties a slot that has known pieces, perhaps more: an
// interrupted Save leaves some. Pieces are written upwards and removed
// downwards, so whatever is interrupted, they begin at 0 without a gap, and the
// first that is missing is the end.
func (o *OS) removePieces(ctx context.Context, key string, slot, known int) error {
	end := known
	for end < maxPieces {
		_, err := o.read(ctx, piece(key, slot, end))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		end++
	}
	for i := end - 1; i >= 0; i-- {
		if err := o.remove(ctx, piece(key, slot, i)); err != nil {
			return err
		}
	}
	return nil
}
