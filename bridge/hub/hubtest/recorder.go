package hubtest

import (
	"bytes"
	"net/http"
)

// A recorder keeps the hub's answer, so that it can be changed.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorder) replace(status int, kind, body string) {
	r.status = status
	r.header.Set("Content-Type", kind)
	r.body.Reset()
	r.body.WriteString(body)
}

// empty takes the body away.
func (r *recorder) empty() {
	r.header.Del("Content-Type")
	r.body.Reset()
}

func (r *recorder) copyTo(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}
