package oauthtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// token is the token endpoint: RFC 6749, 4.1.3 and 6.
func (s *Server) token(w http.ResponseWriter, r *http.Request, f Faults) {
	switch {
	case f.TokenError != "":
		s.tokenError(w, r, f, f.TokenError)
		return
	case f.TokenStatus != 0:
		retryAfter(w, f)
		htmlError(w, f.TokenStatus)
		return
	case f.HTML:
		htmlError(w, http.StatusOK)
		return
	}
	client, proved := s.authenticate(r, f)
	if !proved {
		s.unproved(w, r, f)
		return
	}
	var body map[string]any
	problem := "unsupported_grant_type"
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		body, problem = s.redeem(r, client, f)
	case "refresh_token":
		body, problem = s.rotate(r, client, f)
	}
	if problem != "" {
		s.tokenError(w, r, f, problem)
		return
	}
	if f.LoseAnswer {
		panic(http.ErrAbortHandler) // how net/http lets a handler drop the connection
	}
	change(body, f.Body)
	if f.Cacheable {
		w.Header().Set("Cache-Control", "public, max-age=3600")
	}
	contentType := "application/json"
	if f.ContentType != "" {
		contentType = f.ContentType
	}
	w.Header().Set("Content-Type", contentType)
	if f.BOM {
		_, _ = w.Write([]byte("\xef\xbb\xbf"))
	}
	_ = json.NewEncoder(w).Encode(body) // a client that left is no news
}

// redeem takes a code once; a second time revokes what it gave (RFC 6749,
// 4.1.2).
func (s *Server) redeem(r *http.Request, client string, f Faults) (map[string]any, string) {
	q := r.PostForm
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.codes[q.Get("code")]
	if !ok {
		return nil, "invalid_grant"
	}
	if c.used {
		s.revokeFamily(c.family)
		return nil, "invalid_grant"
	}
	c.used = true
	sum := sha256.Sum256([]byte(q.Get("code_verifier")))
	switch {
	case time.Now().After(c.expires),
		client != c.client,
		q.Get("redirect_uri") != c.redirect,
		base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge:
		return nil, "invalid_grant"
	}
	user := s.Users[c.user]
	g := Grant{User: user.ID, Scopes: strings.Fields(c.scope), Expires: time.Now().Add(s.tokenLife())}
	body := maps.Clone(s.Extra)
	if body == nil {
		body = map[string]any{}
	}
	if s.Hub != nil {
		if at, topic := s.Hub(user.ID); at != "" {
			body["hub.url"], body["hub.topic"] = at, topic
		}
	}
	s.fill(body, g, c.client, c.family)
	if !f.NoRefresh && (slices.Contains(g.Scopes, "offline_access") || slices.Contains(g.Scopes, "online_access")) {
		body["refresh_token"] = s.newRefresh(g, c.client, c.family)
	}
	if slices.Contains(g.Scopes, "openid") && !f.NoID {
		body["id_token"] = s.idToken(r, f, user, c.client, c.nonce, body["access_token"].(string))
	}
	return body, ""
}

// rotate takes a refresh token once; a second time revokes the whole family
// (RFC 9700, 4.14.2).
func (s *Server) rotate(r *http.Request, client string, f Faults) (map[string]any, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.refresh[r.PostForm.Get("refresh_token")]
	switch {
	case !ok || s.revoked[t.family] || t.client != client:
		return nil, "invalid_grant"
	case t.used:
		s.revokeFamily(t.family)
		return nil, "invalid_grant"
	}
	g := t.grant
	g.Expires = time.Now().Add(s.tokenLife())
	body := map[string]any{}
	s.fill(body, g, t.client, t.family)
	if !f.KeepRefresh {
		t.used = true
		body["refresh_token"] = s.newRefresh(t.grant, t.client, t.family)
	}
	if f.IDAgain {
		i := slices.IndexFunc(s.Users, func(u User) bool { return u.ID == g.User })
		body["id_token"] = s.idToken(r, f, s.Users[i], t.client, "", body["access_token"].(string))
	}
	return body, ""
}

func (s *Server) fill(body map[string]any, g Grant, client string, family int) {
	body["access_token"] = s.issue(g, client, family)
	body["token_type"] = "Bearer"
	body["expires_in"] = int(time.Until(g.Expires).Seconds() + 0.5)
	body["scope"] = strings.Join(g.Scopes, " ")
}

func (s *Server) newRefresh(g Grant, client string, family int) string {
	if s.refresh == nil {
		s.refresh = map[string]*refreshToken{}
	}
	t := unguessable()
	s.refresh[t] = &refreshToken{grant: g, client: client, family: family}
	return t
}

func (s *Server) revokeFamily(n int) {
	if s.revoked == nil {
		s.revoked = map[int]bool{}
	}
	s.revoked[n] = true
}

func (s *Server) tokenError(w http.ResponseWriter, r *http.Request, f Faults, problem string) {
	body := map[string]any{"error": problem}
	if f.Echo {
		body["error_description"] = "you sent " + r.PostForm.Encode()
	}
	status := http.StatusBadRequest
	if f.TokenStatus != 0 {
		status = f.TokenStatus
	}
	retryAfter(w, f)
	reply(w, status, body)
}

func retryAfter(w http.ResponseWriter, f Faults) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
}

// revoke is RFC 7009: 200 for any token, known or not.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request, f Faults) {
	if f.RevokeStatus != 0 {
		retryAfter(w, f)
		w.WriteHeader(f.RevokeStatus)
		return
	}
	client, proved := s.authenticate(r, f)
	if !proved {
		s.unproved(w, r, f)
		return
	}
	t := r.PostForm.Get("token")
	s.mu.Lock()
	defer s.mu.Unlock()
	if rt, ok := s.refresh[t]; ok && rt.client == client {
		s.revokeFamily(rt.family)
	}
	delete(s.tokens, t)
}

// introspect is RFC 7662 as SMART profiles it: any live token may ask.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, ok := s.Check(bearer); !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g, ok := s.Check(r.PostForm.Get("token"))
	if !ok {
		reply(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"active": true, "scope": strings.Join(g.Scopes, " "), "client_id": s.ClientID, "sub": g.User, "exp": g.Expires.Unix(),
	})
}
