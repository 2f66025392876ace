package ipc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

func defaultAddress() (string, error) {
	us, err := self()
	if err != nil {
		return "", err
	}
	return pipeName(us), nil
}

// runDir is in the user's profile, which Windows closes to others, and not on a roaming share.
func runDir() (string, error) {
	us, err := self()
	if err != nil {
		return "", err
	}
	local, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("run folder: %w", err)
	}
	dir := filepath.Join(local, "Castray", "run", strconv.FormatUint(uint64(us.Session), 10))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("run folder: %w", err)
	}
	return dir, nil
}

func keysFile(address string) (string, error) {
	dir, err := runDir()
	if err != nil {
		return "", err
	}
	standard, err := defaultAddress()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, windowsKeysName(address, standard)), nil
}

// openKeys trusts the profile's access rules.
func openKeys(path string) (*os.File, error) { return os.Open(path) }
