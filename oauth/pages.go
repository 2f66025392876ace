package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
)

// The pages of the redirect listener. They are constants: nothing that came in
// a request, and nothing of a user or patient, is ever part of one.
const (
	pageDone       = pageTop + `<h1>Thank you</h1><p>Castray has the answer and goes on by itself. This tab can be closed.</p>` + pageEnd
	pageFailed     = pageTop + `<h1>Not signed in</h1><p>Castray shows what happened and how to go on. This tab can be closed.</p>` + pageEnd
	pageSuperseded = pageTop + `<h1>An older sign-in</h1><p>Another sign-in was started after this one, or this one has ended. This tab can be closed.</p>` + pageEnd
	pageNeutral    = pageTop + `<h1>Castray</h1><p>There is nothing to see at this address.</p>` + pageEnd

	pageTop = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Castray</title>` +
		`<meta name="viewport" content="width=device-width"><style>` + pageStyle + `</style></head><body><main>`
	pageEnd   = `</main></body></html>`
	pageStyle = `:root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0}main{max-width:32rem;padding:2rem}`
)

func head(w http.ResponseWriter) {
	style := sha256.Sum256([]byte(pageStyle))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+
		base64.StdEncoding.EncodeToString(style[:])+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

func page(w http.ResponseWriter, status int, text string) {
	head(w)
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush() // the listener may close next
}
