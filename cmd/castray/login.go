package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/client"
	"github.com/castray/castray/ipc/protocol"
)

func (t *tool) loginCommand() *cobra.Command {
	var site string
	var noBrowser bool
	var timeout time.Duration
	cmd := t.jsonFlag(&cobra.Command{
		Use:   "login",
		Short: "Sign in with the browser, and wait until that is done",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usagef("--timeout wants a time such as 5m.")
			}
			return t.loginWithin(cmd.Context(), timeout, site, !noBrowser)
		},
	})
	cmd.Flags().StringVar(&site, "site", "", "`NAME` of the site, as configured (default the last used)")
	cmd.Flags().BoolVar(&noBrowser, "no-browser", false, "print the address to sign in at instead of opening a browser")
	cmd.Flags().DurationVar(&timeout, "timeout", loginWait, "how long to wait, as a `TIME` such as 90s")
	return cmd
}

// loginWait is how long a person has in the browser, if nobody says otherwise.
const loginWait = 5 * time.Minute

var errLate = errors.New("too late")

// loginWithin is login, and an end with a sentence when nobody comes.
func (t *tool) loginWithin(ctx context.Context, timeout time.Duration, site string, browser bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errLate)
	defer cancel()
	err := t.login(ctx, site, browser)
	if err != nil && errors.Is(context.Cause(ctx), errLate) {
		return failf(exitFailed, "Nobody has signed in within %s. To try again: castray login", timeout)
	}
	return err
}

// Codes of problems by which the agent tells how a sign-in goes.
const (
	signinPending  = "signin_pending"
	signinDeclined = "signin_declined"
	signinFailed   = "signin_failed"
)

// login has the agent sign in, and waits for what comes of it.
func (t *tool) login(ctx context.Context, site string, browser bool) error {
	statuses := make(chan protocol.Status, 1)
	gone := make(chan struct{})
	c, err := t.control(ctx, "login", client.Options{
		Status:    func(s protocol.Status) { newest(statuses, s) },
		OutOfSync: func(error) { close(gone) },
	})
	if err != nil {
		return err
	}
	defer hangUp(c)
	var started protocol.SigninResult
	err = c.Call(ctx, protocol.MethodSignin, protocol.SigninParams{Site: site, Browser: &browser}, &started)
	var refused *protocol.Error
	if errors.As(err, &refused) && refused.Code == protocol.CodeSigninNeeded { // the site cannot be reached, say
		return failf(exitFailed, "%s", refused.Message)
	}
	if err != nil {
		return err
	}
	if err := t.startedLogin(started, browser); err != nil {
		return err
	}
	return t.awaitLogin(ctx, c.Hello().Status, statuses, gone)
}

func (t *tool) startedLogin(started protocol.SigninResult, browser bool) error {
	switch {
	case browser:
		t.say("Finish the sign-in in the browser. If none opens: castray login --no-browser")
		return nil
	case t.json:
		return t.printJSON(started)
	}
	t.say("Open this address in a browser on this computer:")
	return t.print("%s", started.URL)
}

// settled is when a Status surely shows a sign-in that still waits: the agent tells of changes ten times a second, and
// one that ended at once may never have been seen waiting.
const settled = time.Second

func (t *tool) awaitLogin(ctx context.Context, s protocol.Status, statuses <-chan protocol.Status, gone <-chan struct{}) error {
	settle := time.NewTimer(settled)
	defer settle.Stop()
	begun := false
	for {
		select {
		case s = <-statuses:
		case <-settle.C:
			begun = true
		case <-gone:
			return agentGone()
		case <-ctx.Done():
			return ctx.Err()
		}
		switch _, waits := problemOf(s, signinPending); {
		case waits:
			begun = true
		case begun:
			return t.signedIn(s)
		}
	}
}

// signedIn says what became of the sign-in.
func (t *tool) signedIn(s protocol.Status) error {
	if sentence, ok := problemOf(s, signinDeclined); ok {
		return failf(exitRefused, "%s", sentence)
	}
	if sentence, ok := problemOf(s, signinFailed); ok {
		return failf(exitFailed, "%s", sentence)
	}
	if !s.SignedIn {
		return failf(exitFailed, "The sign-in was given up. To try again: castray login")
	}
	if s.User != nil && s.User.Name != "" {
		t.say("Signed in as %s.", s.User.Name)
	} else {
		t.say("Signed in.")
	}
	return nil
}

func problemOf(s protocol.Status, code string) (sentence string, ok bool) {
	i := slices.IndexFunc(s.Problems, func(p protocol.Problem) bool { return p.Code == code })
	if i < 0 {
		return "", false
	}
	return s.Problems[i].Sentence, true
}

// newest puts a value where an older one may still lie. There is one sender.
func newest[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}
