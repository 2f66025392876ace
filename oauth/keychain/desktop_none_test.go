//go:build !desktop || !linux

package keychain

import "errors"

func desktopChild(part string) error { return errors.New("unknown part " + part) }
