package sandbox

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/subscriber"
	"github.com/castray/castray/oauth"
)

// A follower is a subscriber that tells the test what it hears.
type follower struct {
	client     *subscriber.Client
	subscribed chan int
	events     chan *fhircast.Delivery
	lost       chan string
}

func (f *follower) Subscribed(n int, _ []fhircast.Name) { f.subscribed <- n }
func (f *follower) Deliver(d *fhircast.Delivery)        { f.events <- d }
func (f *follower) Refused(int, *fhircast.FrameError)   {}
func (f *follower) Lost(_ int, cause string)            { f.lost <- cause }
func (f *follower) State(subscriber.State)              {}

// next is the next thing from a channel, in reasonable time.
func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("not reached")
	}
}

// follow subscribes to a hub until stop is called.
func follow(t *testing.T, s *Sandbox, hubURL string, topic fhircast.Secret, signed *http.Client, quirks ...string) (f *follower, stop func()) {
	t.Helper()
	f = &follower{subscribed: make(chan int, 10), events: make(chan *fhircast.Delivery, 100), lost: make(chan string, 10)}
	c := subscriber.New(subscriber.Config{HubURL: hubURL, Topic: topic, Name: "follower", HTTP: signed, Quirks: quirks, TLS: &tls.Config{RootCAs: s.CertPool()},
		Events: []fhircast.Name{"Patient-open", "Patient-close", "ImagingStudy-open", "ImagingStudy-close", "Home-open", "UserLogout"}, Handler: f})
	f.client = c
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		cancel()
		if err := next(t, "end of the subscriber", ended); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return f, stop
}

// The whole sandbox, as an agent meets it: sign in, subscribe, follow what is clicked, answer, leave.
func TestAnAgentSignsInAndFollowsWhatIsClicked(t *testing.T) {
	s := start(t, Config{AutoApprove: true, Users: 2})
	plain := browser(t, s)
	launcher := &oauth.Launcher{HTTP: plain, Site: oauth.Site{Name: "Sandbox", FHIRURL: s.Info().FHIRURL, ClientID: s.Info().ClientID,
		Scopes: []string{"openid", "fhirUser", "offline_access", "user/Patient.read", "fhircast/*.read", "fhircast/*.write"}},
		OpenURL: func(ctx context.Context, url string) error {
			r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
			if err != nil {
				return err
			}
			w, err := (&http.Client{Transport: plain.Transport}).Do(r) // follows the redirect, as a browser does
			if err != nil {
				return err
			}
			return w.Body.Close()
		}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session, err := launcher.SignIn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	grant := session.Grant()
	if grant.HubURL != s.Info().HubURL || grant.User.Name != "Ada Reader" {
		t.Errorf("signed in as %q at %q", grant.User.Name, grant.HubURL)
	}
	f, stop := follow(t, s, grant.HubURL, s.Topic("reader1"), session.Client())
	next(t, "subscription", f.subscribed)
	if err := s.WaitSubscribers(ctx, "reader1", 1); err != nil {
		t.Fatal(err)
	}

	if w, body := press(t, s, "open Patient/p04"); w.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s %s", w.Status, body)
	}
	d := next(t, "event", f.events)
	item, _ := d.Event.Item("patient")
	if !d.Event.Name.Is("Patient-open") || !strings.Contains(string(item.Value), "山田") {
		t.Error(d.Event)
	}
	d.Answer(200)
	if status, err := s.WaitAnswer(ctx, "reader1", d.Event.ID); err != nil || status != 200 {
		t.Errorf("%d %v", status, err)
	}

	if _, err := s.Open(ctx, "reader2", "Patient", "p01"); err != nil { // another session
		t.Fatal(err)
	}
	id, err := s.CloseCurrent(ctx, "reader1")
	if err != nil {
		t.Fatal(err)
	}
	d = next(t, "event", f.events)
	if !d.Event.Name.Is("Patient-close") || d.Event.ID != id {
		t.Error(d.Event)
	}
	d.Answer(409)
	if status, err := s.WaitAnswer(ctx, "reader1", id); err != nil || status != 409 {
		t.Errorf("%d %v", status, err)
	}
	_, page := fetch(t, plain, "GET", s.Info().EHRURL, nil)
	for _, want := range []string{"follower", "409 refused (Patient-close)", "follower: 200 follows", "the hub told the others: follower refused to follow (409)"} {
		if !strings.Contains(plainText(page), want) {
			t.Errorf("the page does not tell %q", want)
		}
	}

	stop()
	if err := s.WaitSubscribers(ctx, "reader1", 0); err != nil {
		t.Fatal(err)
	}
	if err := session.SignOut(ctx); err != nil {
		t.Error(err)
	}
}

func TestEndingTellsTheSubscribers(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	s, err := New(ctx, Config{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f, stop := follow(t, s, s.Info().HubURL, s.Topic(""), oauth.Static(oauth.NewSecret(s.Info().AdminToken), browser(t, s), s.Info().HubURL))
	next(t, "subscription", f.subscribed)
	stream, err := browser(t, s).Get(s.Info().EHRURL + "live")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	end()
	if cause := next(t, "loss", f.lost); cause == "" {
		t.Error("no cause")
	}
	if err := next(t, "end of Run", ended); err != nil {
		t.Error(err)
	}
	stop()
}

func TestErrorsThatCallersTest(t *testing.T) {
	s := start(t, Config{})
	ctx := t.Context()
	if _, err := s.Open(ctx, "nobody", "Patient", "p01"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := s.Open(ctx, "", "Patient", "p99"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := s.CloseCurrent(ctx, ""); !errors.Is(err, ErrNothingOpen) {
		t.Error(err)
	}
	if _, err := s.Home(ctx, ""); err != nil {
		t.Error(err)
	}
	if _, err := s.CloseCurrent(ctx, ""); !errors.Is(err, ErrNothingOpen) {
		t.Error(err)
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := s.WaitSubscribers(short, "", 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := s.WaitAnswer(short, "", "never"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := s.WaitSubscribers(ctx, "nobody", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
