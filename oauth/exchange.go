package oauth

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/castray/castray/oauth/scope"
)

// firstSave is how long the keychain has after a sign-in: the user may be
// typing the password that unlocks it. laterSave is for calls nobody waits for.
const (
	firstSave = 60 * time.Second
	laterSave = 5 * time.Second
)

// askedSkew is for a server whose parts have clocks of their own.
const askedSkew = time.Minute

// exchange sends the code, once, and makes the session (RFC 6749, 4.1.3; RFC
// 7636, 4.5). A correct server answers a second sending by revoking all.
func (a *Attempt) exchange(ctx context.Context, code string) (*Session, error) {
	l := a.launcher
	w := l.webAs(a.site)
	ends := saved{
		Issuer: string(a.meta.issuer), Token: a.meta.token, Revoke: a.meta.revoke, SecretInForm: a.meta.secretInForm, ClientID: l.Site.ClientID,
	}
	ans, err := w.tokens(ctx, "exchange the code", ends, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {a.rc.uri},
		"code_verifier": {a.verifier.Reveal()},
	})
	if err != nil {
		return nil, err
	}
	s := l.session(w, ends)
	s.grant = w.grantOf(ans)
	if ans.scopesSaid && len(ans.scopes) == 0 {
		return nil, &failure{doing: "exchange the code: nothing was granted",
			sentence: "The sign-in worked, but nothing was granted: your administrator has to check the scopes of this site."}
	}
	l.compare(s.grant)
	if s.grant.HubURL == "" && ans.hubURL != "" {
		l.log().Warn("hub.url of the sign-in is not https; it is not used")
	}
	if len(ans.odd) > 0 {
		l.log().Warn("launch context has members that cannot be used", "members", strings.Join(ans.odd, " "))
	}
	if !ans.lifeSaid {
		l.log().Warn("server gives no usable expires_in; five minutes are assumed")
	}
	if s.grant.User, err = a.user(ctx, w, ans, s.grant.Scopes); err != nil {
		return nil, err
	}
	s.take(ans)
	s.signIn, s.believed = random(), true
	if l.Site.Shared && s.grant.User.Subject == "" {
		_ = s.SignOut(ctx) // it has stored nothing; what was granted to nobody is not left open
		return nil, &failure{doing: "exchange the code: nobody is named",
			sentence: "This workstation is shared, and the sign-in server did not say who you are: your administrator has to check that it grants openid and fhirUser."}
	}
	s.vault.owner.Store(s)
	defer s.vault.alone(ctx, lockWait)() // or a refresh of the older sign-in that is under way would be stored after it
	s.keep(ctx, firstSave)
	if err := s.notKept(); err != nil && l.RefuseMemoryOnly {
		s.giveBack(ctx, err)
		return nil, err
	}
	return s, nil
}

// compare tells an administrator what was asked for and is not granted. Nothing
// here depends on it: what a missing right to events means, its reader says.
func (l *Launcher) compare(g Grant) {
	missing := scope.Missing(g.Requested, g.Scopes)
	switch {
	case len(missing) == 0:
	case scope.Clinical(g.Requested) && !scope.Clinical(g.Scopes):
		// Some servers drop the style that a client is not registered for, and
		// say nothing.
		l.log().Warn("server granted no clinical scope; if it knows them in the other style, set scope_style of the site to v1 or v2",
			"missing", strings.Join(missing, " "))
	default:
		l.log().Warn("server granted less than was asked for", "missing", strings.Join(missing, " "))
	}
}

// user is whom the id_token names. Without one sign-in goes on, with a wrong
// one it does not: on a shared desk it may be somebody else's.
func (a *Attempt) user(ctx context.Context, w *web, ans *tokenAnswer, granted []string) (User, error) {
	if a.nonce == "" || !hasScope(granted, "openid") {
		return User{}, nil
	}
	if ans.id == "" {
		a.launcher.log().Warn("server granted openid but sent no id_token")
		return User{}, nil
	}
	id, err := a.launcher.identity(ctx, w, a.meta)
	if err != nil {
		return User{}, err
	}
	if id == nil {
		a.launcher.log().Warn("server sent an id_token but names no issuer or keys; the user is unknown")
		return User{}, nil
	}
	if a.anew {
		id.fresh = time.Since(a.Until.Add(-a.launcher.wait())) + askedSkew
	}
	return id.check(ctx, ans, a.nonce)
}
