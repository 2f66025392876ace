package oauth

import (
	"fmt"
	"net/http"
	"time"
)

// What a remark is about.
const (
	RemarkClock     = "clock"
	RemarkTokenSize = "token_size"
)

// clockDoubt is from where on a clock that is wrong is worth a sentence. What is
// less costs nothing: how long a token lives is measured by our clock alone.
const clockDoubt = issueSkew

// plainToken is the size up to which servers are supposed to take a token
// (SMART 2.2, scopes and launch context).
const plainToken = 8 << 10

// Remarks are sentences about what may be the reason when this session does not
// work as it should, by what they are about. A session without any has none.
func (s *Session) Remarks() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := map[string]string{}
	if s.ahead.Abs() > clockDoubt {
		r[RemarkClock] = clockSentence(s.ahead)
	}
	if s.tooLarge > 0 {
		r[RemarkTokenSize] = fmt.Sprintf("A server refuses requests with this sign-in, perhaps because its token is large (%d KB): "+
			"your administrator has to ask for fewer scopes, or allow larger headers there.", s.tooLarge>>10)
	}
	return r
}

func clockSentence(ahead time.Duration) string {
	which := "ahead of"
	if ahead < 0 {
		which = "behind"
	}
	return fmt.Sprintf("The clock of this computer is %v %s that of the sign-in server: set the clock.", ahead.Abs().Round(time.Minute), which)
}

// compareClocks notes how far our clock is ahead of the server's, as its answer
// says (Date, RFC 9110, 6.6.1). Called with mu held.
func (s *Session) compareClocks(now, server time.Time) {
	if server.IsZero() {
		return
	}
	was := s.ahead.Abs() > clockDoubt
	s.ahead = now.Sub(server)
	if is := s.ahead.Abs() > clockDoubt; is && !was {
		s.log.Warn("clock of this computer differs from that of the sign-in server", "ahead", s.ahead.Round(time.Second))
	}
}

// judgeSize notes a refusal that the size of the token may be the reason for.
func (s *Session) judgeSize(size, status int) {
	refused := status == http.StatusBadRequest || status == http.StatusRequestHeaderFieldsTooLarge
	if size <= plainToken {
		return
	}
	s.mu.Lock()
	was := s.tooLarge
	switch {
	case refused:
		s.tooLarge = size
	case status < 300:
		s.tooLarge = 0
	}
	changed := was != s.tooLarge
	s.mu.Unlock()
	if changed {
		if refused {
			s.log.Warn("request was refused, perhaps for the size of the token", "bytes", size, "status", status)
		}
		s.notify()
	}
}
