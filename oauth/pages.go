package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// page writes a notice in the language of the browser. It works without scripts, loads nothing, and holds nothing of the
// request: what is not ours in it is in f, and escaped.
func page(w http.ResponseWriter, r *http.Request, status int, n notice, f facts) {
	head(w)
	send(w, status, n.html(speaksGerman(r.Header.Get("Accept-Language")), f))
}

// head writes the headers of all our pages.
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

func send(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush() // the listener may close next
}

// A Page is what another part of the program says in the user's browser: plain text, in English, on a page that looks like
// those a sign-in ends with and holds to the same guards.
type Page struct {
	Sign        string // the picture beside it: good, bad, busy or plain
	Title, Text string
}

// Write answers with the page. It may be called concurrently.
func (p Page) Write(w http.ResponseWriter, status int) {
	head(w)
	send(w, status, pageTop("en", p.Sign, html.EscapeString(p.Title))+`<p>`+html.EscapeString(p.Text)+`</p>`+pageEnd)
}

// facts are what a notice may tell, each as plain text. One that is empty takes the lines that tell it off the page.
type facts struct {
	user, site string
	reason     string // what went wrong, as Sentence has it
	warning    string // about a sign-in that works all the same
	said       string // the server's own words, cleaned
	help       string // where the server tells more, https and its own origin
}

// html is the whole page. The first line of a notice is its heading and title.
func (n notice) html(german bool, f facts) string {
	lines, lang := n.en, "en"
	if german {
		lines, lang = n.de, "de"
	}
	var b strings.Builder
	b.WriteString(pageTop(lang, n.sign, lines[0]))
	for _, line := range lines[1:] {
		if line, ok := f.fill(line); ok {
			b.WriteString("<p>" + line + "</p>")
		}
	}
	b.WriteString(pageEnd)
	return b.String()
}

// pageTop begins a page of ours, up to its heading; pageEnd ends it.
func pageTop(lang, sign, title string) string {
	return `<!doctype html><html lang="` + lang + `"><head><meta charset="utf-8"><title>` + title + ` – Castray</title>` +
		`<meta name="viewport" content="width=device-width,initial-scale=1"><style>` + pageStyle + `</style></head><body><main class="` +
		sign + `">` + signs[sign] + `<h1>` + title + `</h1>`
}

const pageEnd = `</main><footer>Castray</footer></body></html>`

// fill puts the facts into a line, and reports whether all that it tells is there.
func (f facts) fill(line string) (string, bool) {
	for _, x := range []struct{ word, value string }{
		{"{user}", f.user}, {"{site}", f.site}, {"{reason}", f.reason}, {"{warning}", f.warning}, {"{said}", f.said}, {"{help}", f.help},
	} {
		if strings.Contains(line, x.word) && x.value == "" {
			return "", false
		}
	}
	// One pass, so that a fact that looks like a place for another one is not filled.
	e := html.EscapeString
	return strings.NewReplacer("{user}", e(f.user), "{site}", e(f.site), "{reason}", e(f.reason), "{warning}", e(f.warning),
		"{said}", e(f.said), "{help}", e(f.help)).Replace(line), true
}

// speaksGerman reports whether German is wanted rather than English. Browsers name the languages in the order of their
// user's liking.
func speaksGerman(accepted string) bool {
	for tag := range strings.SplitSeq(accepted, ",") {
		tag = strings.ToLower(strings.TrimSpace(tag))
		switch {
		case strings.HasPrefix(tag, "de"):
			return true
		case strings.HasPrefix(tag, "en"):
			return false
		}
	}
	return false
}

// signs are pictures beside the words, for who looks from afar. A screen reader passes over them.
var signs = map[string]string{
	"good":  sign(`<path d="m14 25 7 7 14-15"/>`),
	"bad":   sign(`<path d="M24 13v14"/><path d="M24 34v.5"/>`),
	"busy":  sign(`<path d="M24 13v12l8 5"/>`),
	"plain": sign(`<path d="M16 24h16"/>`),
}

func sign(path string) string {
	return `<svg viewBox="0 0 48 48" width="56" height="56" fill="none" stroke="currentColor" stroke-width="3.5" stroke-linecap="round" ` +
		`stroke-linejoin="round" aria-hidden="true"><circle cx="24" cy="24" r="21"/>` + path + `</svg>`
}

const pageStyle = `:root{color-scheme:light dark;--back:#eef1f5;--card:#fff;--ink:#1c2430;--soft:#5a6675;--good:#12733b;--bad:#a8431a;--busy:#0b5cad}` +
	`@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1c222b;--ink:#e8ecf2;--soft:#a3aebd;--good:#5fd08d;--bad:#f0a07a;--busy:#7ab8f5}}` +
	`*{box-sizing:border-box}` +
	`body{font:1.125rem/1.5 system-ui,"Segoe UI",sans-serif;margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;` +
	`justify-content:center;background:var(--back);color:var(--ink)}` +
	`main{width:min(34rem,92vw);margin:1rem;padding:2.5rem;background:var(--card);border-radius:1rem;box-shadow:0 1px 3px #0003,0 8px 28px #0001;overflow-wrap:anywhere}` +
	`h1{font-size:1.75rem;line-height:1.25;margin:.75rem 0 1rem}p{margin:.75rem 0 0}svg{display:block}` +
	`.good svg{color:var(--good)}.bad svg{color:var(--bad)}.busy svg{color:var(--busy)}.plain svg{color:var(--soft)}` +
	`q{font-style:italic}a{color:var(--busy)}` +
	`footer{color:var(--soft);font-size:.9rem;padding:.5rem}`
