package config

import "slices"

// checkShared refuses what would make one person's session another's on a workstation that several use.
func (b *builder) checkShared(top scope) {
	if !b.out.Session.Shared {
		return
	}
	if b.out.Session.RefuseMemoryOnly {
		b.out.Session.RefuseMemoryOnly = false
		b.warn(top.where("session.memory_only"), "session.memory_only", "without effect, since a shared workstation keeps nothing")
	}
	if len(b.out.Sites) == 0 && b.out.Hub.URL != "" {
		b.problem(top.where("session.shared"), "session.shared", "a hub without sign-in knows no users; a shared workstation needs a [[site]]")
	}
	for i, site := range b.out.Sites {
		s := scope{b: b, element: &b.lists["site"][i]}
		if site.Hub.Topic != "" {
			b.problem(s.where(subHub+".topic"), subHub+".topic", "with session.shared the session is of who signs in, so no topic can be fixed")
		}
		if !slices.Contains(site.Scopes, "openid") {
			b.problem(s.where("site.scopes"), "site.scopes", "with session.shared it has to be known who signs in: add \"openid\"")
		}
	}
}
