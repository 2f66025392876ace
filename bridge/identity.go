package bridge

import (
	"slices"
	"strings"

	"github.com/castray/castray/bridge/fhircast"
)

// An identity is what tells one patient, encounter, study or report from another. It is patient data: it is compared and
// never printed.
type identity struct {
	resource   string // FHIR type
	id         string // FHIR id at the hub's server
	systems    map[string][]string
	uid        string   // study instance UID, without "urn:oid:"
	accessions []string // accession numbers, without their system
}

type verdict int

const (
	unclear verdict = iota // nothing that both give, or more than one match where one was asked for (S7)
	same
	different
)

const dicomUID = "urn:dicom:uid"

// acsn is the type of an identifier that is an accession number.
const acsn = "ACSN"

// identify reads an entry of a context. It fails when the entry holds no resource of a type.
func identify(item fhircast.Item) (identity, bool) {
	r, ok := item.Resource()
	if !ok {
		return identity{}, false
	}
	who := identity{resource: r.Type, id: r.ID, systems: make(map[string][]string)}
	for _, i := range r.Identifiers {
		who.add(i)
	}
	who.add(fhircast.Identifier{System: dicomUID, Value: r.UID})
	if r.Accession.Value != "" {
		who.accessions = append(who.accessions, r.Accession.Value)
	}
	for _, order := range r.BasedOn {
		if slices.Contains(order.Codes, acsn) {
			who.accessions = append(who.accessions, order.Value)
		}
	}
	return who, true
}

// blank tells whether there is nothing to tell the resource by.
func (w identity) blank() bool {
	return w.id == "" && w.uid == "" && len(w.systems) == 0 && len(w.accessions) == 0
}

func (w *identity) add(i fhircast.Identifier) {
	if i.Value == "" {
		return
	}
	if i.System == dicomUID {
		i.Value = strings.TrimPrefix(i.Value, "urn:oid:")
		w.uid = i.Value
	}
	if slices.Contains(i.Codes, acsn) {
		w.accessions = append(w.accessions, i.Value)
	}
	if i.System != "" && !slices.Contains(w.systems[i.System], i.Value) {
		w.systems[i.System] = append(w.systems[i.System], i.Value)
	}
}

// compare says whether two identities are the same resource: by an identifier in a system that both give; else by study
// UID or accession; else by FHIR id. One system in which they differ outweighs others in which they agree.
func compare(a, b identity) verdict {
	if a.resource != b.resource {
		return different
	}
	shared, best := false, unclear
	for system, values := range a.systems {
		others, ok := b.systems[system]
		if !ok {
			continue
		}
		shared = true
		switch compareValues(values, others) {
		case different:
			return different
		case same:
			best = same
		}
	}
	if shared {
		return best
	}
	if a.uid != "" && b.uid != "" {
		return compareValues([]string{a.uid}, []string{b.uid})
	}
	if len(a.accessions) > 0 && len(b.accessions) > 0 {
		return compareValues(a.accessions, b.accessions)
	}
	if a.id != "" && a.id == b.id {
		return same
	}
	return unclear // hubs and drivers give other ids to the same patient, so two ids do not make two patients
}

// compareValues compares what two resources give in one system. Where one of them gives several values and only some
// match, nobody can say which was meant.
func compareValues(a, b []string) verdict {
	common := 0
	for _, v := range a {
		if slices.Contains(b, v) {
			common++
		}
	}
	switch {
	case common == 0:
		return different
	case common == len(a) && common == len(b):
		return same
	}
	return unclear
}
