package hubtest

import (
	"context"
	"slices"
	"sync"

	"github.com/castray/castray/bridge/fhircast"
	"github.com/castray/castray/bridge/hub"
)

// joining is the key under which the store is told how much of a session a new socket may know.
type joining struct{}

// sessions is the hub's store. It remembers which topics there are, so that a restart can forget their contexts, and is
// where faults of the session itself are.
type sessions struct {
	hub.Store
	closeClears func() bool // asked about each close
	mu          sync.Mutex
	topics      []fhircast.Secret
}

func (s *sessions) Load(ctx context.Context, topic fhircast.Secret) (hub.Session, error) {
	state, err := s.Store.Load(ctx, topic)
	switch ctx.Value(joining{}) {
	case InitialNone:
		state.Open, state.Current = nil, nil
	case InitialOne:
		state.Open = slices.DeleteFunc(slices.Clone(state.Open), func(e *fhircast.Event) bool { return e != state.Current })
	}
	return state, err
}

func (s *sessions) Save(ctx context.Context, topic fhircast.Secret, state hub.Session) error {
	s.mu.Lock()
	if !slices.Contains(s.topics, topic) {
		s.topics = append(s.topics, topic)
	}
	s.mu.Unlock()
	if was, err := s.Store.Load(ctx, topic); err == nil && len(state.Open) < len(was.Open) && state.Current != nil && s.closeClears() {
		state.Current = nil
	}
	return s.Store.Save(ctx, topic, state)
}

func (s *sessions) forget(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, topic := range s.topics {
		state, err := s.Store.Load(ctx, topic)
		if err != nil {
			continue // ended
		}
		if err := s.Store.Save(ctx, topic, hub.Session{User: state.User}); err != nil {
			return err
		}
	}
	return nil
}
