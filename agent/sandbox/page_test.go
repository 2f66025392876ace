package sandbox

import (
	"bufio"
	"bytes"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

func draw(t *testing.T, v liveView) string {
	t.Helper()
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "live.html", v); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// plainText is what a person reads of a page: no tags, one blank between words.
func plainText(page string) string {
	page = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

func opened(t *testing.T, kind, id string) *fhircast.Event {
	t.Helper()
	e, err := newEvent("topic", testHospital(t).records[kind+"/"+id], fhircast.Open)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheSessionAsThePageTellsIt(t *testing.T) {
	patient, study := opened(t, "Patient", "p08"), opened(t, "ImagingStudy", "p08-s1")
	home, err := newHome("topic")
	if err != nil {
		t.Fatal(err)
	}
	all := []fhircast.Name{"Patient-open", "ImagingStudy-open", "Home-open"}
	happened := func(e *fhircast.Event) hub.Entry {
		return hub.Entry{What: "published", EventID: e.ID, EventName: e.Name, At: day}
	}
	earlier := day.Add(-time.Minute)
	for name, row := range map[string]struct {
		now         hub.Session
		subscribers []hub.Subscriber
		log         []hub.Entry
		want, not   []string
	}{
		"nothing yet": {
			want: []string{"No context Open something on the left.", "Subscribers 0 Nobody is subscribed", "Nothing happened yet."},
			not:  []string{"Still open"},
		},
		"a study in front of its patient": {
			now: hub.Session{Open: []*fhircast.Event{patient, study}, Current: study},
			want: []string{"ImagingStudy-open patient Arthur J. Pendleton born 1955-09-09, SB100056", "study CT chest, abdomen and pelvis A08001, A08002",
				"Still open behind it Patient-open: Arthur J. Pendleton"},
			not: []string{"urn:oid"},
		},
		"home in front of a patient": {
			now:  hub.Session{Open: []*fhircast.Event{patient}, Current: home},
			want: []string{"Home-open At home", "Still open behind it Patient-open"},
		},
		"nothing in front, a patient behind": {
			now:  hub.Session{Open: []*fhircast.Event{patient}},
			want: []string{"No context", "Still open behind it Patient-open"},
		},
		"who answered the latest event, and who did not": {
			now: hub.Session{Open: []*fhircast.Event{patient}, Current: patient},
			log: []hub.Entry{happened(study), happened(patient)},
			subscribers: []hub.Subscriber{
				{Name: "follows", Events: all, Since: earlier, Last: hub.Answer{EventID: patient.ID, EventName: patient.Name, Status: 200}},
				{Name: "heard", Events: all, Since: earlier, Last: hub.Answer{EventID: patient.ID, EventName: patient.Name, Status: 202}},
				{Name: "mumbles", Events: all, Since: earlier, Last: hub.Answer{EventID: patient.ID, EventName: patient.Name}},
				{Name: "refuses", Events: all, Since: earlier, Last: hub.Answer{EventID: patient.ID, EventName: patient.Name, Status: 409}},
				{Name: "breaks", Events: all, Since: earlier, Last: hub.Answer{EventID: patient.ID, EventName: patient.Name, Status: 500}},
				{Name: "lags", Events: all, Since: earlier, Last: hub.Answer{EventID: study.ID, EventName: study.Name, Status: 200}},
				{Name: "narrow", Events: []fhircast.Name{"Home-open"}, Since: earlier},
				{Name: "late", Events: all, Since: day.Add(time.Minute)},
			},
			want: []string{"Subscribers 8", "200 follows (Patient-open)", "202 heard (Patient-open)", "heard, without a status (Patient-open)", "409 refused (Patient-open)",
				"500 failed (Patient-open)", "no answer yet (Patient-open)", "did not ask for Patient-open", "nothing sent yet"},
		},
		"the log, latest first": {
			log: []hub.Entry{
				{What: "subscribed", Subscriber: "viewer", At: day}, happened(patient),
				{What: "answered", Subscriber: "viewer", EventID: patient.ID, EventName: patient.Name, Status: 409, At: day},
				{What: "syncerror", Subscriber: "viewer", EventID: patient.ID, EventName: patient.Name, Detail: "refused to follow (409)", At: day},
				{What: "renewed", Subscriber: "viewer", At: day}, {What: "unreadable", At: day}, {What: "gone", Subscriber: "viewer", Detail: "has left", At: day},
				{What: "gone", Subscriber: "worklist", At: day},
			},
			want: []string{"worklist is gone " + day.Local().Format(time.TimeOnly), "viewer is gone: has left", "a subscriber without a name sent what cannot be read", "viewer renewed",
				"the hub told the others: viewer refused to follow (409) Patient-open", "viewer: 409 refused Patient-open " + patient.ID[:8],
				"happened Patient-open", "viewer subscribed"},
			not: []string{patient.ID},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := plainText(draw(t, newLiveView(row.now, row.subscribers, row.log)))
			rest := got
			for _, want := range row.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("no %q, or not in this order, in %s", want, got)
				}
				rest = after
			}
			for _, not := range row.not {
				if strings.Contains(got, not) {
					t.Errorf("%q in %s", not, got)
				}
			}
		})
	}
}

func TestAnEventThatSomebodyElseMadeIsDrawnAsFarAsItGoes(t *testing.T) {
	m, err := fhircast.Decode([]byte(`{"timestamp":"2026-03-04T05:06:07Z","id":"1","event":{"hub.topic":"t","hub.event":"patient-OPEN","context":[
		{"key":"patient","resource":{"resourceType":"Patient","id":"x","name":[{"family":"Solo","given":["A","B"]}]}},
		{"key":"note","string":"free text"},{"key":"odd","resource":{"resourceType":"Observation","id":"o1"}}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	v := newContextView(m.(*fhircast.Event))
	if v.Event != "Patient-open" || v.Reference != "Patient/x" || v.Row != "row-Patient-x" {
		t.Errorf("%+v", v)
	}
	titles := map[string]string{}
	for _, l := range v.Lines {
		titles[l.Key] = l.Title
	}
	if titles["patient"] != "A B Solo" || titles["note"] != "cannot be read" || titles["odd"] != "o1" {
		t.Error(titles)
	}
}

var buttons = regexp.MustCompile(`<button id="([^"]+)" name="do" value="([^"]+)"`)

func TestEveryRecordHasAButtonOfItsOwn(t *testing.T) {
	s := start(t, Config{Users: 2})
	w, page := fetch(t, browser(t, s), "GET", s.Info().EHRURL+"?user=reader2", nil)
	if w.StatusCode != http.StatusOK || !strings.Contains(w.Header.Get("Content-Type"), "text/html") {
		t.Fatal(w.Status)
	}
	seen := map[string]string{}
	for _, b := range buttons.FindAllStringSubmatch(page, -1) {
		if _, twice := seen[b[1]]; twice {
			t.Errorf("two buttons %s", b[1])
		}
		seen[b[1]] = b[2]
	}
	for reference, r := range s.hospital.records {
		if r.kind != "Practitioner" && seen["open-"+r.kind+"-"+r.id] != "open "+reference {
			t.Errorf("no button for %s", reference)
		}
	}
	for id, value := range map[string]string{"close-current": "close", "home": "home", "logout": "logout"} {
		if seen[id] != value {
			t.Errorf("#%s says %q", id, seen[id])
		}
	}
	for _, want := range []string{
		`<a id="user-reader2" href="/ehr/?user=reader2" aria-current="page">Ivo Marković</a>`,
		`<a id="user-reader1" href="/ehr/?user=reader1">Ada Reader</a>`,
		`<input type="hidden" name="user" value="reader2">`,
		`<bdi>ليلى الحدّاد</bdi>`, `<bdi>山田 太郎</bdi>`, `Siobhán O’Neill &amp; D&#39;Souza`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, secret := range []string{s.Topic("reader1").Reveal(), s.Topic("reader2").Reveal(), s.Info().AdminToken} {
		if strings.Contains(page, secret) {
			t.Error("the page holds a secret")
		}
	}
}

func TestThePageRunsNothingButItsOwn(t *testing.T) {
	s := start(t, Config{})
	c := browser(t, s)
	for _, path := range []string{"", "ehr.js", "ehr.css", "?user=nobody"} {
		w, body := fetch(t, c, "GET", s.Info().EHRURL+path, nil)
		policy := w.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", path, policy)
		}
		if w.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", path)
		}
		if regexp.MustCompile(`<script>|<style|\son[a-z]+=|style=`).MatchString(body) && path == "" {
			t.Error("the page has a script or style of its own inside")
		}
	}
	if w, _ := fetch(t, c, "GET", strings.TrimSuffix(s.Info().EHRURL, "ehr/"), nil); w.Header.Get("Location") != "/ehr/" {
		t.Errorf("the bare address leads to %q", w.Header.Get("Location"))
	}
}

// hostile is a patient made to break out of the page and of the stream.
var hostile = person{names: []humanName{{Text: "<script>alert(1)</script>\r\ndata: evil\r\rid: 9\n\n\"onload='x'"}}, sex: "other", born: "2000-01-01",
	visits: []visit{{class: "AMB", reason: `"><img src=x onerror=alert(2)>`, studies: []exam{{modality: "CT", title: "</aside><b>bold", series: 1}}}}}

func TestNamesCannotBreakOut(t *testing.T) {
	s, err := New(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.listener.Close() // the page is asked directly
	h := testHospital(t, hostile)
	e, err := newEvent(s.Topic(""), h.records["ImagingStudy/p01-s1"], fhircast.Open)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.hub.Publish(t.Context(), s.Topic(""), e); err != nil {
		t.Fatal(err)
	}
	s.page.hospital = h // for the list on the left
	message, err := s.page.message(t.Context(), s.users[0])
	if err != nil {
		t.Fatal(err)
	}
	page := ask(s.page.handler(), "GET", "/ehr/", "", nil).Body.String()
	for where, text := range map[string]string{"page": page, "stream": string(message)} {
		for _, bad := range []string{"<script>alert", "<img", "<b>", "</aside><b", "onload='"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %s", where, bad)
			}
		}
		if !strings.Contains(text, "&lt;script&gt;alert(1)&lt;/script&gt;") || !strings.Contains(text, "&lt;/aside&gt;&lt;b&gt;bold") {
			t.Errorf("the %s does not show the name", where)
		}
	}
	for _, line := range strings.FieldsFunc(string(message), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if !strings.HasPrefix(line, "data: ") {
			t.Errorf("the stream has a line %q", line)
		}
	}
	if strings.Count(string(message), "\n\n") != 1 {
		t.Error("the stream has more than one message")
	}
}

// press sends the form as the page would.
func press(t *testing.T, s *Sandbox, button string, header ...string) (*http.Response, string) {
	t.Helper()
	return fetch(t, browser(t, s), "POST", s.Info().EHRURL+"act", url.Values{"user": {"reader1"}, "token": {s.page.token}, "do": {button}}, header...)
}

func TestButtons(t *testing.T) {
	s := start(t, Config{})
	for _, step := range []struct {
		button  string
		status  int
		current string // what the page says is in front
	}{
		{"close", 409, "No context"},
		{"open Patient/p01", 204, "Patient-open patient Maria Rossi born 1961-03-14"},
		{"open ImagingStudy/p01-s1", 204, "ImagingStudy-open patient Maria Rossi"},
		{"open DiagnosticReport/p09-r1", 204, "DiagnosticReport-open patient Ingrid Bjørnstad"},
		{"close Patient/p01", 204, "DiagnosticReport-open"},
		{"close Patient/p01", 404, "DiagnosticReport-open"},
		{"close", 204, "No context"},
		{"open Encounter/p11-e1", 204, "Encounter-open patient Suharti born 1980"},
		{"home", 204, "Home-open"},
		{"close", 409, "Home-open"},
		{"logout", 204, "No context"},
		{"open Patient/p99", 404, "No context"},
		{"open Practitioner/reader1", 404, "No context"},
		{"burn", 400, "No context"},
		{"", 400, "No context"},
	} {
		if w, body := press(t, s, step.button, "Accept", "text/plain"); w.StatusCode != step.status {
			t.Errorf("%q: %s %s", step.button, w.Status, body)
		}
		v, err := s.liveView(t.Context(), s.users[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := plainText(draw(t, v)); !strings.HasPrefix(got, "Current context "+step.current) {
			t.Errorf("after %q: %.120s", step.button, got)
		}
	}
}

func TestWithoutScriptTheFormLeadsBackToThePage(t *testing.T) {
	s := start(t, Config{})
	w, _ := press(t, s, "open Patient/p04", "Accept", "text/html")
	if w.StatusCode != http.StatusSeeOther || w.Header.Get("Location") != "/ehr/?user=reader1" {
		t.Errorf("%s to %q", w.Status, w.Header.Get("Location"))
	}
	if w, page := press(t, s, "close Patient/p01", "Accept", "text/html"); w.StatusCode != http.StatusNotFound ||
		!strings.Contains(page, `<p id="notice" role="alert">That is not there, or not open any more.</p>`) || !strings.Contains(page, "Tarō Yamada") {
		t.Errorf("%s %.200s", w.Status, page)
	}
}

func TestAnotherSiteCannotPressAButton(t *testing.T) {
	s := start(t, Config{})
	for name, header := range map[string][]string{
		"another site":           {"Sec-Fetch-Site", "cross-site"},
		"another port":           {"Sec-Fetch-Site", "same-site"},
		"an older browser":       {"Origin", "https://evil.example"},
		"a page without origin":  {"Origin", "null"},
		"a file on this machine": {"Origin", "null", "Sec-Fetch-Site", "cross-site"},
	} {
		if w, _ := press(t, s, "open Patient/p01", header...); w.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, w.Status)
		}
	}
	for _, token := range []string{"", "guess", s.page.token + "x"} {
		form := url.Values{"user": {"reader1"}, "token": {token}, "do": {"home"}}
		if w, _ := fetch(t, browser(t, s), "POST", s.Info().EHRURL+"act", form); w.StatusCode != http.StatusForbidden {
			t.Errorf("token %q: %s", token, w.Status)
		}
	}
	if w, _ := fetch(t, browser(t, s), "GET", s.Info().EHRURL+"act?"+url.Values{"token": {s.page.token}, "do": {"home"}}.Encode(), nil); w.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a link: %s", w.Status)
	}
	if log := s.hub.Log(s.Topic(""), 0); len(log) != 0 {
		t.Errorf("something happened: %+v", log)
	}
	if w, body := press(t, s, "open Patient/p01", "Sec-Fetch-Site", "same-origin", "Accept", "text/plain"); w.StatusCode != http.StatusNoContent {
		t.Errorf("our own page: %s %s", w.Status, body)
	}
}

func TestTheStreamSaysWhatHappens(t *testing.T) {
	s := start(t, Config{Users: 2})
	w, err := browser(t, s).Get(s.Info().EHRURL + "live?user=reader2")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	if ct := w.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatal(ct)
	}
	lines := bufio.NewScanner(w.Body)
	next := func() string {
		var message strings.Builder
		for lines.Scan() && lines.Text() != "" {
			message.WriteString(strings.TrimPrefix(lines.Text(), "data: "))
			message.WriteString("\n")
		}
		return plainText(message.String())
	}
	if first := next(); !strings.HasPrefix(first, "Current context No context") {
		t.Error(first)
	}
	if _, err := s.Open(t.Context(), "reader1", "Patient", "p01"); err != nil { // another user's session says nothing here
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), "reader2", "Patient", "p05"); err != nil {
		t.Fatal(err)
	}
	if second := next(); !strings.HasPrefix(second, "Current context Patient-open patient ليلى الحدّاد") {
		t.Error(second)
	}
	if w, _ := fetch(t, browser(t, s), "GET", s.Info().EHRURL+"live?user=nobody", nil); w.StatusCode != http.StatusNotFound {
		t.Error(w.Status)
	}
}
