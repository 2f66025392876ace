//go:build unix

package config

import (
	"os"
	"syscall"
)

func inspect(f *os.File) (privacy, error) {
	info, err := f.Stat()
	if err != nil {
		return privacy{}, err
	}
	owner := os.Geteuid()
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(s.Uid)
	}
	return judgeMode(f.Name(), info.Mode().Perm(), owner, os.Geteuid()), nil
}
