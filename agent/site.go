package agent

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/oauth"
)

// site finds a configured site by name; "" is the one to start with.
func (a *Agent) site(name string) *config.Site {
	if name == "" {
		if first := a.firstSite(); first != nil {
			return first
		}
		return &a.cfg.Settings.Sites[0]
	}
	for i := range a.cfg.Settings.Sites {
		if s := &a.cfg.Settings.Sites[i]; s.Name == name {
			return s
		}
	}
	return nil
}

// firstSite is the last used site, else the only one, else none.
func (a *Agent) firstSite() *config.Site {
	if a.cfg.StateDir != "" {
		if name, err := os.ReadFile(filepath.Join(a.cfg.StateDir, "site")); err == nil && strings.TrimSpace(string(name)) != "" {
			if s := a.site(strings.TrimSpace(string(name))); s != nil {
				return s
			}
		}
	}
	if len(a.cfg.Settings.Sites) == 1 {
		return &a.cfg.Settings.Sites[0]
	}
	return nil
}

// storedSite is the site whose sign-in may lie in the keychain.
func (a *Agent) storedSite() *config.Site {
	switch {
	case a.static():
		return nil
	case a.siteName != "":
		return a.site(a.siteName)
	}
	return a.firstSite()
}

// remember keeps the last used site for the next start. A disk that is full costs only that.
func (a *Agent) remember(name string) {
	if a.cfg.StateDir == "" {
		return
	}
	file := filepath.Join(a.cfg.StateDir, "site")
	err := os.MkdirAll(a.cfg.StateDir, 0o700)
	if err == nil {
		if err = os.WriteFile(file+".new", []byte(name+"\n"), 0o600); err == nil {
			err = os.Rename(file+".new", file)
		}
	}
	if err != nil {
		_ = os.Remove(file + ".new") // half of it, perhaps
		a.cfg.Log.Warn("the last used site cannot be remembered", "because", cause(err))
	}
}

// cause is the operating system's word without the path.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return "unknown"
}

// launcher is the sign-in of a site. There is one each, so that a second start supersedes the first.
func (a *Agent) launcher(s *config.Site) (*oauth.Launcher, error) {
	if l := a.launchers[s.Name]; l != nil {
		return l, nil
	}
	store := a.guarded()
	if a.shared() {
		store = nil
	}
	l, err := a.launcherFor(s, store)
	if err == nil {
		a.launchers[s.Name] = l
	}
	return l, err
}

func (a *Agent) launcherFor(s *config.Site, store oauth.Store) (*oauth.Launcher, error) {
	roots, err := siteRoots(s)
	if err != nil {
		return nil, err
	}
	site := siteOf(s)
	site.Shared = a.shared()
	return &oauth.Launcher{
		Site: site, HTTP: &http.Client{Transport: a.transport(roots)}, Store: store, Credentials: a.cfg.Store,
		RefuseMemoryOnly: a.cfg.Settings.Session.RefuseMemoryOnly, OpenURL: a.browse, Stray: a.strayed, Log: a.cfg.Log,
	}, nil
}

// siteOf is a configured site as package oauth sees it.
func siteOf(s *config.Site) oauth.Site {
	return oauth.Site{Name: s.Name, FHIRURL: s.FHIRURL, ClientID: s.ClientID, Auth: s.Auth, PlainBasic: s.PlainBasic,
		Scopes: config.Scopes(*s), Authorize: s.Authorize, Redirect: s.Redirect,
		IDTokenAlgs: s.IDTokenAlgs, HubURL: s.Hub.URL, Names2019: s.Hub.Dialect().LegacyNames, LoopbackHTTP: s.Hub.Test}
}

// siteRoots trusts what the site and its hub add to the system's authorities.
func siteRoots(s *config.Site) (*x509.CertPool, error) {
	roots, err := config.Roots(s.CAFile)
	if err != nil || s.Hub.CAFile == "" || s.Hub.CAFile == s.CAFile {
		return roots, err
	}
	if roots == nil {
		return config.Roots(s.Hub.CAFile)
	}
	pem, err := os.ReadFile(s.Hub.CAFile)
	if err != nil {
		return nil, err
	}
	roots.AppendCertsFromPEM(pem)
	return roots, nil
}
