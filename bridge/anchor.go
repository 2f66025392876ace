package bridge

import (
	"encoding/json"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// about is the "Type/id" of the anchor of an update or a select, whichever way it is named: 3.0.0 has a reference, the
// ballots a resource. False where it is not there exactly once.
func about(e *fhircast.Event) (name string, ok bool) {
	item, ok := e.Anchor()
	if !ok {
		return "", false
	}
	if r, ok := item.Resource(); ok {
		return r.Type + "/" + r.ID, r.ID != "" && strings.EqualFold(r.Type, e.Name.Resource())
	}
	var to struct{ Reference string }
	if item.Kind != "reference" || json.Unmarshal(item.Value, &to) != nil {
		return "", false
	}
	parts := strings.Split(to.Reference, "/") // it may be an absolute address
	if len(parts) < 2 || !strings.EqualFold(parts[len(parts)-2], e.Name.Resource()) {
		return "", false
	}
	return strings.Join(parts[len(parts)-2:], "/"), true
}
