//go:build !windows

package desktop

import "net/url"

// systemProxy: what is not in the environment is not set here.
func systemProxy(target) *url.URL { return nil }
