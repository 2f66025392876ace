package desktop

import (
	"errors"
	"net"
	"net/url"
	"unsafe"

	"golang.org/x/sys/windows"
)

// systemProxy is the way to a target by the user's settings. It blocks while a script is found, fetched and run, for as
// long as the limits of runScript allow.
func systemProxy(t target) *url.URL { return decide(userSettings(), t, runScript) }

// WinHTTP's names and numbers, of winhttp.h.
const (
	accessNoProxy    = 1 // WINHTTP_ACCESS_TYPE_NO_PROXY
	accessNamedProxy = 3 // WINHTTP_ACCESS_TYPE_NAMED_PROXY

	autoDetect    = 1     // WINHTTP_AUTOPROXY_AUTO_DETECT
	autoConfigURL = 2     // WINHTTP_AUTOPROXY_CONFIG_URL
	detectAll     = 1 | 2 // WINHTTP_AUTO_DETECT_TYPE_DHCP, _DNS_A

	loginFailure = windows.Errno(12015) // ERROR_WINHTTP_LOGIN_FAILURE

	stepLimit = 4000 // milliseconds for each of finding, connecting, asking and reading a script
)

type userConfig struct { // WINHTTP_CURRENT_USER_IE_PROXY_CONFIG
	detect                int32
	script, proxy, bypass *uint16
}

type scriptOptions struct { // WINHTTP_AUTOPROXY_OPTIONS
	flags, detectFlags uint32
	script             *uint16
	_                  uintptr
	_                  uint32
	autoLogon          int32
}

type proxyInfo struct { // WINHTTP_PROXY_INFO
	access        uint32
	proxy, bypass *uint16
}

// winHTTP has the functions of winhttp.dll. They are called by their own Call, and never by a function of ours that takes
// addresses as numbers: only so does what they point at stay where it is meanwhile.
type winHTTP struct {
	settings, open, timeouts, proxyForURL, close *windows.LazyProc
	free                                         *windows.LazyProc // of kernel32.dll, for the texts that it makes
}

func loadWinHTTP() (winHTTP, error) {
	dll := windows.NewLazySystemDLL("winhttp.dll")
	w := winHTTP{dll.NewProc("WinHttpGetIEProxyConfigForCurrentUser"), dll.NewProc("WinHttpOpen"), dll.NewProc("WinHttpSetTimeouts"),
		dll.NewProc("WinHttpGetProxyForUrl"), dll.NewProc("WinHttpCloseHandle"),
		windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalFree")}
	for _, f := range []*windows.LazyProc{w.settings, w.open, w.timeouts, w.proxyForURL, w.close, w.free} {
		if err := f.Find(); err != nil { // or Call would panic
			return w, err
		}
	}
	return w, nil
}

// userSettings are the zero value where Windows tells none.
func userSettings() settings {
	w, err := loadWinHTTP()
	if err != nil {
		return settings{}
	}
	var c userConfig
	if ok, _, _ := w.settings.Call(uintptr(unsafe.Pointer(&c))); ok == 0 {
		return settings{}
	}
	return settings{detect: c.detect != 0, script: w.taken(c.script), proxy: w.taken(c.proxy), bypass: w.taken(c.bypass)}
}

// runScript has Windows find the script of the settings and run it. Where a server wants to know who fetches it, it is
// told the user of this session, but only then.
func runScript(s settings, t target) (list, bypass string, ok bool) {
	w, err := loadWinHTTP()
	if err != nil {
		return "", "", false
	}
	session, _, _ := w.open.Call(0, accessNoProxy, 0, 0, 0)
	if session == 0 {
		return "", "", false
	}
	defer func() { _, _, _ = w.close.Call(session) }()
	if ok, _, _ := w.timeouts.Call(session, stepLimit, stepLimit, stepLimit, stepLimit); ok == 0 {
		return "", "", false
	}
	page, err := windows.UTF16PtrFromString(t.scheme + "://" + net.JoinHostPort(t.host, t.port) + "/")
	if err != nil {
		return "", "", false
	}
	var o scriptOptions
	if s.detect {
		o.flags, o.detectFlags = autoDetect, detectAll
	}
	if s.script != "" {
		o.flags |= autoConfigURL
		if o.script, err = windows.UTF16PtrFromString(s.script); err != nil {
			return "", "", false
		}
	}
	for o.autoLogon = range int32(2) {
		var info proxyInfo
		ok, _, err := w.proxyForURL.Call(session, uintptr(unsafe.Pointer(page)), uintptr(unsafe.Pointer(&o)), uintptr(unsafe.Pointer(&info)))
		if ok != 0 {
			list, bypass = w.taken(info.proxy), w.taken(info.bypass)
			if info.access != accessNamedProxy {
				list = ""
			}
			return list, bypass, true
		}
		if !errors.Is(err, loginFailure) {
			break
		}
	}
	return "", "", false
}

// taken copies a text that Windows made for us, and gives it back.
func (w winHTTP) taken(text *uint16) string {
	if text == nil {
		return ""
	}
	s := windows.UTF16PtrToString(text)
	_, _, _ = w.free.Call(uintptr(unsafe.Pointer(text)))
	return s
}
