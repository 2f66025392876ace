package agent

import (
	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/keychain"
)

// Keychain keeps the sign-in in the operating system's keychain.
func Keychain() oauth.Store { return keychain.New() }

// Memory keeps it for as long as the process lives.
func Memory() oauth.Store { return new(keychain.Memory) }
