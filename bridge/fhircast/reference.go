package fhircast

import "strings"

// splitReference takes the type and the id out of a literal reference: "Type/id", also at the end of an absolute
// address, also of one version (FHIR R4, 2.3.0.1).
func splitReference(ref string) (resource, id string, ok bool) {
	ref, _, _ = strings.Cut(ref, "/_history/")
	rest, id, ok := cutLast(ref, "/")
	if !ok {
		return "", "", false
	}
	_, resource, found := cutLast(rest, "/")
	if !found {
		resource = rest
	}
	if id == "" || resource == "" || resource[0] < 'A' || resource[0] > 'Z' || strings.ContainsAny(resource+id, ":?# ") {
		return "", "", false
	}
	return resource, id, true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

// pointer is the resource that an entry names: the target of its reference, or the resource that it holds.
func (i Item) pointer() (resource, id string, ok bool) {
	switch i.Kind {
	case "resource":
		return identity(i.Value)
	case "reference":
		var reference string
		if readWords(newScanner(i.Value), "reference", &reference, "", nil) == nil {
			return splitReference(reference)
		}
	}
	return "", "", false
}

// identity is the type and the id of a resource.
func identity(value []byte) (resource, id string, ok bool) {
	err := readWords(newScanner(value), "resourceType", &resource, "id", &id)
	return resource, id, err == nil && resource != "" && id != ""
}
