package oauth

import "net/url"

// SchemeRedirect is the redirect address in a scheme of our own (RFC 8252, 7.1): a name under our control, and with an
// authority, without which some servers register none. Any program may claim the scheme too; state and PKCE are what
// protect the sign-in.
const SchemeRedirect = "io.github.castray://callback"

// Redirected takes an address at SchemeRedirect that the operating system handed over, and reports whether a sign-in of
// this launcher waited for it. One that nobody waits for changes nothing (SMART clients: an unexpected redirect is
// dropped).
func (l *Launcher) Redirected(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" || u.User != nil || u.Path != "" && u.Path != "/" || len(u.RawQuery) > queryLimit {
		return false
	}
	// Browsers write the authority in small letters, and some add a slash.
	if u.Scheme+"://"+u.Host != SchemeRedirect {
		return false
	}
	l.mu.Lock()
	pending := l.pending
	l.mu.Unlock()
	if pending == nil || pending.rc.uri != SchemeRedirect {
		return false
	}
	_, reached := pending.rc.take(u.RawQuery)
	return reached == reachedAttempt
}
