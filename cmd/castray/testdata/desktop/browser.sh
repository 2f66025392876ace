#!/bin/sh
# The browser of a desktop test, with a page to open: headless Chromium, which stays when this script has ended, as a
# browser does. A second page is a tab in the same one; without a window Chromium does not arrange that by itself. Its
# DevTools port is in $HOME/browser/DevToolsActivePort, so that the test presses buttons in the very browser that the
# product opened. The sandbox has made its own authority, which no browser knows.
set -eu
echo opened >>"$HOME/browser.log"
if [ -s "$HOME/browser/DevToolsActivePort" ]; then
	exec python3 - "$(head -n 1 "$HOME/browser/DevToolsActivePort")" "$1" <<-'EOF'
	import sys, urllib.parse, urllib.request
	port, page = sys.argv[1:]
	tab = "http://127.0.0.1:" + port + "/json/new?" + urllib.parse.quote(page, safe="")
	urllib.request.urlopen(urllib.request.Request(tab, method="PUT"))
	EOF
fi
setsid chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run \
	--disable-background-networking --disable-component-update --disable-sync --disable-extensions \
	--ignore-certificate-errors --password-store=basic --window-size=1280,900 \
	--user-data-dir="$HOME/browser" --remote-debugging-port=0 "$1" >/dev/null 2>&1 </dev/null &
