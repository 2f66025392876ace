package agent

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"net/http"
)

// The pages that answer a launch. They are made of our own constants: nothing of a request is ever in one.
var (
	pageTaken = launchHTML("Castray is launched",
		"The sign-in page opens by itself. If none has opened in a minute, look at the Castray icon: it says why. This tab can be closed.")
	pageAsks = launchHTML("Castray asks you first",
		"Open the menu of the Castray icon, and accept this launch there or decline it, within five minutes. This tab can be closed.")
	pageStopping = launchHTML("Castray is stopping", "Start Castray, then start the launch again from the EHR.")
	pageNothing  = launchHTML("Castray", "There is nothing to see at this address.")
)

// pageOf is the page of a refusal. To another user of the machine it says what to do instead.
func pageOf(why *refusal) string {
	if why == refusedCaller {
		return launchHTML("Not launched", "This Castray belongs to another user of this computer, or it cannot be told whose browser this is. "+
			"Ask your administrator for launch links that begin with castray://, which find your own.")
	}
	return launchHTML("Not launched", why.sentence)
}

const launchStyle = `:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0}main{max-width:32rem;padding:2rem}`

func launchHTML(title, text string) string {
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Castray</title><meta name="viewport" content="width=device-width"><style>` +
		launchStyle + `</style></head><body><main><h1>` + html.EscapeString(title) + `</h1><p>` + html.EscapeString(text) + `</p></main></body></html>`
}

func launchPage(w http.ResponseWriter, status int, page string) {
	style := sha256.Sum256([]byte(launchStyle))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(style[:])+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page) // a browser that left is no news
}
