package agent

import (
	"path/filepath"
	"runtime"
	"strings"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/bridge"
	"github.com/castray/castray/ipc"
	"github.com/castray/castray/ipc/protocol"
)

// ruleFor is the first rule that fits who is at the other end, nil if none does. The program decides, never a name: on a
// system that does not say which program it is, no rule fits.
func ruleFor(rules []config.App, peer ipc.Peer) *config.App {
	digest, known := "", false
	for i := range rules {
		r := &rules[i]
		if peer.Exe == "" || r.Exe != "" && !sameFile(r.Exe, peer.Exe) {
			continue
		}
		if r.SHA256 == "" {
			return r
		}
		if !known { // read once, and only where a rule asks for it
			digest, _ = peer.Digest()
			known = true
		}
		if digest == r.SHA256 {
			return r
		}
	}
	return nil
}

// sameFile compares the path that an administrator wrote with the one that the system gives, which has no links in it.
func sameFile(rule, exe string) bool {
	if resolved, err := filepath.EvalSymlinks(rule); err == nil {
		rule = resolved
	}
	rule, exe = filepath.Clean(rule), filepath.Clean(exe)
	return rule == exe || runtime.GOOS == "windows" && strings.EqualFold(rule, exe)
}

// follow is what a rule makes of an app.
func follow(r *config.App, a *bridge.App) {
	a.Rule, a.Required, a.OnLoss = r.Name, r.Required, r.OnLoss
	a.Sees, a.Sends, a.MaySend = r.Events, r.Send, len(r.Send) > 0
}

// always are the rules whose apps are missed when they are not there.
func always(rules []config.App) []string {
	var list []string
	for _, r := range rules {
		if r.Required == protocol.RequiredAlways {
			list = append(list, r.Name)
		}
	}
	return list
}
