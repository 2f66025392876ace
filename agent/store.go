package agent

import (
	"github.com/castray/castray/oauth"
	"github.com/castray/castray/oauth/keychain"
)

// Keychain keeps the sign-in in the operating system's keychain.
func Keychain() oauth.Store { return keychain.New() }

// guarded is the Store, with a lock in the folder of our state: a user who is signed on twice, as on a terminal server, has
// two agents and one keychain.
func (a *Agent) guarded() oauth.Store {
	if a.cfg.Store == nil || a.cfg.StateDir == "" {
		return a.cfg.Store
	}
	return keychain.Shared{Store: a.cfg.Store, Dir: a.cfg.StateDir}
}

// Memory keeps it for as long as the process lives.
func Memory() oauth.Store { return new(keychain.Memory) }
