//go:build desktop && linux

package oauth_test

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// SM-AUTH-07: a real browser submits the page by itself, under the policy that the page is served with, and comes back.
// It runs Chromium, headless, and fails without it.
func TestDesktopLongRequestIsPosted(t *testing.T) {
	w := tooLong(t)
	w.l.OpenURL, w.l.Wait = nil, 30*time.Second
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox,
		chromedp.Flag("ignore-certificate-errors", true), chromedp.UserDataDir(t.TempDir()))
	limited, expire := context.WithTimeout(context.Background(), time.Minute)
	defer expire()
	allocator, stop := chromedp.NewExecAllocator(limited, options...)
	defer stop()
	tab, end := chromedp.NewContext(allocator)
	defer end()
	a, err := w.l.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := chromedp.Do(tab, chromedp.Navigate(a.URL)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	posted := false
	for _, r := range w.as.Requests() {
		posted = posted || r.Path == "/auth/authorize" && r.Method == "POST"
	}
	if !posted {
		t.Error("the browser did not post")
	}
	if err := chromedp.Cancel(tab); err != nil {
		t.Log(err)
	}
}
