package protocol

import "encoding/json"

// Empty is the params or the result of a method that has none.
type Empty struct{}

// Hello introduces an app. Events absent (nil) means all that it may see; empty means none.
type Hello struct {
	Protocol int      `json:"protocol"`
	Name     string   `json:"name"`
	Version  string   `json:"version,omitempty"`
	Events   []string `json:"events,omitzero"`
	Answers  bool     `json:"answers,omitempty"` // events and clears come as requests, and the app answers them
	Shows    bool     `json:"shows,omitempty"`   // the app can say what it shows
	Key      string   `json:"key,omitempty"`
}

// HelloResult admits an app. App is its id among the rows of Status. Context nil means unknown, which is not "no
// patient".
type HelloResult struct {
	Protocol int            `json:"protocol"`
	Agent    string         `json:"agent"` // the agent's version
	App      string         `json:"app"`
	Status   Status         `json:"status"`
	Context  *ContextResult `json:"context"`
}

// Event is the FHIRcast notification as an app gets it. FHIRcast 3.0.0, 2.6.
type Event struct {
	Timestamp string          `json:"timestamp"`
	ID        string          `json:"id"`
	Event     json.RawMessage `json:"event"`
	Castray   *Mark           `json:"castray,omitempty"`
}

// Mark says what is special about an event: Replay, it was current before the app joined; Snapshot, it was read from
// the hub rather than sent by it; Derived, it was made from the context of another event and the hub never saw it.
type Mark struct {
	Replay   bool `json:"replay,omitempty"`
	Snapshot bool `json:"snapshot,omitempty"`
	Derived  bool `json:"derived,omitempty"`
}

// EventAnswer is what an app says to an event or a clear: 200 it follows, 202 heard but will not confirm, 4xx refused,
// 5xx failed. Reason is for a developer and holds no patient data.
type EventAnswer struct {
	Status int    `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// ShownResult lists the app's windows that show a patient; empty means that nothing is shown.
type ShownResult struct {
	Windows []Window `json:"windows"`
}

// MarshalJSON writes no windows as [].
func (r ShownResult) MarshalJSON() ([]byte, error) {
	type plain ShownResult
	r.Windows = orEmpty(r.Windows)
	return json.Marshal(plain(r))
}

// Window is what one window shows: the patient's identifiers, and the study by UID or accession number.
type Window struct {
	Patient   []Identifier `json:"patient"`
	Study     string       `json:"study,omitempty"`
	Accession string       `json:"accession,omitempty"`
}

// MarshalJSON writes no identifiers as [].
func (w Window) MarshalJSON() ([]byte, error) {
	type plain Window
	w.Patient = orEmpty(w.Patient)
	return json.Marshal(plain(w))
}

// Identifier is a FHIR Identifier cut to what tells two patients apart.
type Identifier struct {
	System string `json:"system,omitempty"`
	Value  string `json:"value"`
}

// Reason says why an app is told to show no patient.
type Reason string

// The reasons of a clear.
const (
	ReasonUnknown      Reason = "unknown"       // the context cannot be read
	ReasonClosed       Reason = "closed"        // nothing is current
	ReasonOtherPatient Reason = "other_patient" // another patient is current, by an event the app cannot be given
	ReasonUser         Reason = "user"          // the user asked for it, or another user signs in
	ReasonSignedOut    Reason = "signed_out"
	ReasonUserLogout   Reason = "user_logout" // FHIRcast UserLogout
	ReasonResync       Reason = "resync"
	ReasonLoss         Reason = "loss" // the hub is lost and on_loss says clear
)

// Clear asks an app to show no patient.
type Clear struct {
	Reason Reason `json:"reason"`
}

// ContextResult is the context: the current event, null when nothing is current, and those open, each as the event
// that an app would get.
type ContextResult struct {
	Current json.RawMessage   `json:"current"`
	Open    []json.RawMessage `json:"open"`
	Version string            `json:"version,omitempty"`
}

// MarshalJSON writes nothing current as null and nothing open as [].
func (c ContextResult) MarshalJSON() ([]byte, error) {
	type plain ContextResult
	c.Open = orEmpty(c.Open)
	return json.Marshal(plain(c))
}

// UnmarshalJSON leaves Current nil when nothing is current, so that its length tells.
func (c *ContextResult) UnmarshalJSON(b []byte) error {
	type plain ContextResult
	if err := json.Unmarshal(b, (*plain)(c)); err != nil {
		return err
	}
	if string(c.Current) == "null" {
		c.Current = nil
	}
	return nil
}

// SendParams requests a context change. ID empty: the agent makes one. Context is the JSON array of the FHIRcast
// event. Version is the context version that the app builds on.
type SendParams struct {
	ID      string          `json:"id,omitempty"`
	Event   string          `json:"event"`
	Context json.RawMessage `json:"context"`
	Version string          `json:"version,omitempty"`
}

// SendResult says that the hub accepted, with which status.
type SendResult struct {
	ID     string `json:"id"`
	Status int    `json:"status"`
}

// SubscribeParams replaces the events an app wants: nil all that it may see, empty none.
type SubscribeParams struct {
	Events []string `json:"events,omitzero"`
}

// LaunchParams carries what an EHR handed over: castray://launch?iss=..&launch=.. as the operating system gives it to us, or
// only its query, from the question mark on; or the redirect of a sign-in to the scheme io.github.castray. It is a secret.
type LaunchParams struct {
	URL string `json:"url"`
}

// SigninParams starts a sign-in. Site empty: the last used. Browser false: the agent opens none, the caller shows the
// URL; absent means true.
type SigninParams struct {
	Site    string `json:"site,omitempty"`
	Browser *bool  `json:"browser,omitempty"`
}

// SigninResult holds the address to sign in at. It is a secret for the few minutes that it lives.
type SigninResult struct {
	URL string `json:"url"`
}

// PauseParams pauses one app, or all when App is empty, For a Go duration ("15m"), or until resumed when empty.
type PauseParams struct {
	App string `json:"app,omitempty"`
	For string `json:"for,omitempty"`
}

// ResumeParams resumes one app, or all when App is empty.
type ResumeParams struct {
	App string `json:"app,omitempty"`
}

// ResumeResult names the apps that will be told of another context than they had.
type ResumeResult struct {
	Changes []string `json:"changes"`
}

// MarshalJSON writes no changes as [].
func (r ResumeResult) MarshalJSON() ([]byte, error) {
	type plain ResumeResult
	r.Changes = orEmpty(r.Changes)
	return json.Marshal(plain(r))
}

// AppsResult holds the rows of Status.
type AppsResult struct {
	Apps []AppRow `json:"apps"`
}

// MarshalJSON writes no apps as [].
func (r AppsResult) MarshalJSON() ([]byte, error) {
	type plain AppsResult
	r.Apps = orEmpty(r.Apps)
	return json.Marshal(plain(r))
}

// orEmpty makes a nil slice an empty one, since arrays are [] and never null on the wire.
func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
