package agent

import (
	"context"
	"time"

	"github.com/castray/castray/ipc/protocol"
)

// A question waits for the person: whether a launch may take the place of what is there.
type question struct {
	launch
	seen  *seenLaunch
	shown time.Time // since when it is the first
}

// ask shows the first question that waits.
func (a *Agent) ask() {
	if len(a.launches.asking) == 0 {
		a.solved(problemLaunchWaiting)
		return
	}
	q := a.launches.asking[0]
	if !q.shown.IsZero() {
		return
	}
	q.shown = time.Now()
	words := sprintf("%s wants to launch Castray: accept it, or decline it.", nameOfHub(q.launch))
	if q.ehr.Launch.IsZero() {
		words = sprintf("A program names another session at %s: accept it only if it was you.", nameOfHub(q.launch))
	}
	a.solved(problemLaunchWaiting) // another question has another age
	a.notify(problemLaunchWaiting, words)
}

func nameOfHub(l launch) string {
	if l.site != nil {
		return l.site.Name
	}
	return host(l.hub.url)
}

// answerLaunch is the answer to the question that is shown.
func (a *Agent) answerLaunch(ctx context.Context, yes bool) error {
	var fault *protocol.Error
	err := a.do(ctx, func() {
		a.lookAtLaunches()
		switch {
		case len(a.launches.asking) == 0:
			fault = &protocol.Error{Code: protocol.CodeTooLate, Message: "No launch waits for an answer any more."}
			return
		case time.Since(a.launches.asking[0].shown) < lookAtQuestion:
			fault = &protocol.Error{Code: protocol.CodeBusy, Message: "Another launch has just come: look at it, then answer again."}
			return
		}
		q := a.launches.asking[0]
		a.launches.asking = a.launches.asking[1:]
		q.seen.asking = false
		if yes {
			a.startLaunch(q.launch, q.seen)
		}
		a.ask()
	})
	if err == nil && fault != nil {
		return fault
	}
	return err
}

// forgetQuestions is a no to all that waits.
func (a *Agent) forgetQuestions() {
	for _, q := range a.launches.asking {
		q.seen.asking = false
	}
	a.launches.asking = nil
	a.solved(problemLaunchWaiting)
}
