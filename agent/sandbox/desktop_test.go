//go:build desktop

package sandbox

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// This test presses the page's buttons in Chromium, headless, and fails without it.

// chrome opens a tab until the test ends.
func chrome(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox,
		chromedp.Flag("disable-quic", true), chromedp.Flag("ignore-certificate-errors", true), chromedp.UserDataDir(t.TempDir()))
	limited, expire := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(expire)
	allocator, stop := chromedp.NewExecAllocator(limited, options...)
	t.Cleanup(stop)
	tab, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil {
			t.Log(err)
		}
	})
	return tab
}

func value[T any](t *testing.T, tab context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(expression, err)
	}
	return v
}

func TestDesktopThePageFollowsByItself(t *testing.T) {
	s := start(t, Config{Users: 2})
	tab := chrome(t)
	if err := chromedp.Do(tab, chromedp.Navigate(s.Info().EHRURL)); err != nil {
		t.Fatal(err)
	}
	value[bool](t, tab, `window.blocked = []; document.addEventListener("securitypolicyviolation", (e) => blocked.push(e.blockedURI)); window.loadedOnce = true`)
	err := chromedp.Do(tab,
		chromedp.Click("#open-Patient-p05"),
		chromedp.WaitVisible(`#current[data-row="row-Patient-p05"]`),
		chromedp.WaitVisible(`#row-Patient-p05[data-open]`),
		chromedp.Click("#open-ImagingStudy-p08-s1"),
		chromedp.WaitVisible("#close-Patient-p05"),
		chromedp.Click("#close-Patient-p05"),
		chromedp.WaitNotPresent("#close-Patient-p05"),
		chromedp.Focus("#close-current"),
		chromedp.KeyEvent("\r"),
		chromedp.WaitVisible("#current.none"),
		chromedp.Focus("#home"),
		chromedp.KeyEvent("\r"),
		chromedp.WaitVisible("#current.home"),
	)
	if err != nil {
		t.Fatal(err)
	}
	if id := value[string](t, tab, `document.activeElement.id`); id != "home" {
		t.Errorf("the focus is on %q", id)
	}
	if rows := value[int](t, tab, `document.querySelectorAll("#log tbody tr").length`); rows != 5 {
		t.Errorf("%d lines in the log", rows)
	}
	value[string](t, tab, `document.querySelector("[name=token]").value = "old"`)
	if err := chromedp.Do(tab, chromedp.Click("#open-Patient-p01"), chromedp.WaitVisible("#notice")); err != nil {
		t.Fatal(err)
	}
	if notice := value[string](t, tab, `document.querySelector("#notice").textContent.trim()`); notice != "This page is from another sandbox. Load it again." {
		t.Error(notice)
	}
	if !value[bool](t, tab, `window.loadedOnce && blocked.length === 0`) {
		t.Error("the page was loaded again, or something in it was blocked")
	}
}
