package ipc

import (
	"fmt"
	"os"
	"path/filepath"
)

// runDir is beside the user's configuration, in a folder that a person may have made with the usual mode. It is closed
// to others before it is judged; chmod refuses if it is not ours.
func runDir() (string, error) {
	config, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("run folder: %w", err)
	}
	dir := filepath.Join(config, "Castray")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("run folder: %w", err)
	}
	if fi, err := os.Lstat(dir); err == nil && fi.IsDir() && owner(fi) == os.Getuid() {
		if err := os.Chmod(dir, 0o700); err != nil {
			return "", fmt.Errorf("run folder: %w", err)
		}
	}
	return dir, ownFolder(dir)
}
