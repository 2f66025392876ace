package fhircast

import "errors"

var errNotFHIR = errors.New("a value is not FHIR JSON: an object, an array or a text is empty, or something is null")

// checkFHIR tells whether a value keeps to what FHIR's JSON demands of every value (FHIR R4, 2.6.2): nothing is empty,
// and null stands in arrays alone. Whether a resource has the members that it may have is for its profile to say.
func checkFHIR(value []byte) error { return walkFHIR(newScanner(value), false) }

func walkFHIR(s *scanner, inArray bool) error {
	empty := true
	var err error
	switch s.kind() {
	case '{':
		err = s.object(func([]byte) error { empty = false; return walkFHIR(s, false) })
	case '[':
		err = s.array(func() error { empty = false; return walkFHIR(s, true) })
	case '"':
		v, fault := s.value()
		empty, err = len(v) <= len(`""`), fault
	case 'n':
		_, err = s.value()
		empty = !inArray
	default:
		_, err = s.value()
		empty = false
	}
	if err == nil && empty {
		err = errNotFHIR
	}
	return err
}
