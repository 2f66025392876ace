package agent

import (
	"context"
	"errors"
	"log/slog"

	"github.com/castray/castray/agent/config"
	"github.com/castray/castray/oauth"
)

// Discover asks the server of a site what it says of itself, by the way that an agent would take: the system's proxy, and
// the authorities of the site. The site need not be configured. The error is a sentence for a person.
func Discover(ctx context.Context, site config.Site, log *slog.Logger) (oauth.Discovery, error) {
	a := New(Config{Settings: &config.Config{Sites: []config.Site{site}}, Log: log})
	l, err := a.launcherFor(&site, nil)
	if err != nil {
		return oauth.Discovery{}, err
	}
	d, err := l.Discover(ctx)
	for _, t := range a.transports {
		t.CloseIdleConnections()
	}
	if err != nil {
		return d, errors.New(oauth.Sentence(err))
	}
	return d, nil
}
