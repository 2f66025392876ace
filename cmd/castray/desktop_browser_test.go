//go:build desktop && linux

package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/remote"
)

// browserScript is the program that opens pages; see there.
func (s *session) browserScript() string {
	s.Helper()
	file, err := filepath.Abs("testdata/desktop/browser.sh")
	if err != nil {
		s.Fatal(err)
	}
	return file
}

// A tab is a page that is open in a browser.
type tab = context.Context

// A browser is Chromium as the product, or the demo, has opened it.
type browser struct {
	*session
	root context.Context
}

// attach waits until the session's browser runs and takes hold of it.
func (s *session) attach() *browser {
	s.Helper()
	address := ""
	s.eventually("a browser is open", func() bool {
		text, _ := os.ReadFile(s.path("home/browser/DevToolsActivePort"))
		port, _, whole := strings.Cut(string(text), "\n")
		if !whole {
			return false
		}
		answer, err := http.Get("http://127.0.0.1:" + port + "/json/version")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		address = "ws://127.0.0.1:" + port
		return answer.StatusCode == http.StatusOK
	})
	limited, expire := context.WithTimeout(context.Background(), 2*patience)
	s.Cleanup(expire)
	allocator, stop := remote.NewAllocator(limited, address)
	s.Cleanup(stop)
	root, leave := chromedp.NewContext(allocator)
	s.Cleanup(leave)
	return &browser{s, root}
}

// tab waits for a page of a title.
func (b *browser) tab(title string) tab {
	b.Helper()
	var found tab
	b.eventually(fmt.Sprintf("a page %q is open", title), func() bool {
		pages, err := chromedp.Targets(b.root)
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range pages {
			if p.Type == "page" && p.Title == title {
				page, leave := chromedp.NewContext(b.root, chromedp.WithTargetID(p.TargetID), chromedp.WithDetachOnCancel())
				b.Cleanup(leave)
				found = page
				return true
			}
		}
		return false
	})
	return found
}

// open opens a page in a tab of its own.
func (b *browser) open(address string) tab {
	b.Helper()
	page, leave := chromedp.NewContext(b.root)
	b.Cleanup(leave)
	b.do(page, chromedp.Navigate(address))
	return page
}

func (b *browser) do(page tab, steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(page, steps...); err != nil {
		b.Fatal(err)
	}
}

// answer is a person at the sign-in page: the first user, who presses a button of the consent page. It returns what the
// browser says at the end.
func (b *browser) answer(button string) string {
	b.Helper()
	page := b.tab("Sign in")
	b.do(page, chromedp.Click(chromedp.CSS("#user-0")), chromedp.Click(chromedp.CSS(button)))
	b.eventually("the browser is back at Castray", func() bool {
		title, err := chromedp.Run(page, chromedp.Title())
		if err != nil {
			b.Fatal(err)
		}
		return strings.HasSuffix(title, " – Castray") && !strings.HasPrefix(title, "One moment")
	})
	words, err := chromedp.Run(page, chromedp.Text(chromedp.CSS("h1")))
	if err != nil {
		b.Fatal(err)
	}
	return words
}

// browsersOpened is how often a browser was opened.
func (s *session) browsersOpened() int {
	s.Helper()
	text, err := os.ReadFile(s.path("home/browser.log"))
	if err != nil {
		s.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}
