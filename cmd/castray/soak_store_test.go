package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// A soakStore is a keychain that outlives the process: a folder with a file an item, replaced in one step as a keychain
// does. It is oauth's Store, and for tests only: what it holds lies open.
type soakStore string

func (s soakStore) Load(_ context.Context, key string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(s), key))
}

func (s soakStore) Save(_ context.Context, key string, value []byte) error {
	file := filepath.Join(string(s), key)
	if err := os.WriteFile(file+".new", value, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func (s soakStore) Delete(_ context.Context, key string) error {
	if err := os.Remove(filepath.Join(string(s), key)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
