package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// ErrNothingOpen is the answer to closing where nothing is open in front.
var ErrNothingOpen = errors.New("nothing is open in front")

// user finds who can sign in; "" is the first.
func (s *Sandbox) user(id string) (user, error) {
	for _, u := range s.users {
		if u.id == id || id == "" {
			return u, nil
		}
	}
	return user{}, fmt.Errorf("user of the sandbox: %w", fs.ErrNotExist)
}

// Users are the ids of those who can sign in, in order. Where a method wants a user, "" is the first.
func (s *Sandbox) Users() []string {
	var ids []string
	for _, u := range s.users {
		ids = append(ids, u.id)
	}
	return ids
}

// Topic is the session of a user, "" for somebody who is not there.
func (s *Sandbox) Topic(id string) fhircast.Secret {
	u, err := s.user(id)
	if err != nil {
		return ""
	}
	return u.topic
}

// Open does what a click on the EHR page does: it opens the Patient, Encounter, ImagingStudy or DiagnosticReport of that
// id in a user's session, and returns the event's id. A user or record that is not there is fs.ErrNotExist; the hub's
// refusal is a *hub.StatusError.
func (s *Sandbox) Open(ctx context.Context, userID, kind, id string) (event string, err error) {
	r, ok := s.hospital.records[kind+"/"+id]
	if !ok || r.kind == "Practitioner" {
		return "", fmt.Errorf("open a record of the sandbox: %w", fs.ErrNotExist)
	}
	return s.publish(ctx, userID, func(topic fhircast.Secret, _ hub.Session) (*fhircast.Event, error) {
		return newEvent(topic, r, fhircast.Open)
	})
}

// CloseCurrent closes what is current in a user's session, whoever opened it. With nothing in front, or at home, the
// error is ErrNothingOpen.
func (s *Sandbox) CloseCurrent(ctx context.Context, userID string) (event string, err error) {
	return s.publish(ctx, userID, func(_ fhircast.Secret, now hub.Session) (*fhircast.Event, error) {
		if now.Current == nil || now.Current.Name.Is(fhircast.HomeOpen) {
			return nil, ErrNothingOpen
		}
		return closing(now.Current)
	})
}

// Home leaves every context of a user's session.
func (s *Sandbox) Home(ctx context.Context, userID string) (event string, err error) {
	return s.publish(ctx, userID, func(topic fhircast.Secret, _ hub.Session) (*fhircast.Event, error) { return newHome(topic) })
}

// Logout says that the user has left, which ends every context of the session.
func (s *Sandbox) Logout(ctx context.Context, userID string) (event string, err error) {
	return s.publish(ctx, userID, func(topic fhircast.Secret, _ hub.Session) (*fhircast.Event, error) { return newLogout(topic) })
}

// closeOpen closes one of what is open behind the current context.
func (s *Sandbox) closeOpen(ctx context.Context, userID, reference string) (event string, err error) {
	return s.publish(ctx, userID, func(_ fhircast.Secret, now hub.Session) (*fhircast.Event, error) {
		for _, open := range now.Open {
			if referenceOf(open) == reference {
				return closing(open)
			}
		}
		return nil, fmt.Errorf("close: %w", fs.ErrNotExist)
	})
}

func (s *Sandbox) publish(ctx context.Context, userID string, make func(fhircast.Secret, hub.Session) (*fhircast.Event, error)) (string, error) {
	u, err := s.user(userID)
	if err != nil {
		return "", err
	}
	now, err := s.sessions.Load(ctx, u.topic)
	if err != nil {
		return "", fmt.Errorf("session: %w", err)
	}
	e, err := make(u.topic, now)
	if err != nil {
		return "", err
	}
	return e.ID, s.door.Publish(ctx, u.topic, e)
}

// WaitSubscribers waits until that many are subscribed to a user's session, 0 too, or returns ctx's error.
func (s *Sandbox) WaitSubscribers(ctx context.Context, userID string, n int) error {
	return s.wait(ctx, userID, func(topic fhircast.Secret) bool { return len(s.hub.Subscribers(topic)) == n })
}

// WaitAnswer waits for the first answer to an event of a user's session and returns its status, 0 when it had none, or
// ctx's error. The hub remembers the last 256 things that happened.
func (s *Sandbox) WaitAnswer(ctx context.Context, userID, event string) (status int, err error) {
	err = s.wait(ctx, userID, func(topic fhircast.Secret) bool {
		for _, entry := range s.hub.Log(topic, 0) {
			if entry.What == "answered" && entry.EventID == event {
				status = entry.Status
				return true
			}
		}
		return false
	})
	return status, err
}

func (s *Sandbox) wait(ctx context.Context, userID string, done func(fhircast.Secret) bool) error {
	u, err := s.user(userID)
	if err != nil {
		return err
	}
	changed, stop := s.hub.Watch(ctx, u.topic)
	defer stop()
	for !done(u.topic) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
	return nil
}
