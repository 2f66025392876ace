package sandbox

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"time"
)

// Systems of the sandbox's identifiers, under 2.999, the arc that is there for examples.
const (
	mrnSystem       = "urn:oid:2.999.17.1"
	accessionSystem = "urn:oid:2.999.17.2"
	visitSystem     = "urn:oid:2.999.17.3"
	reportSystem    = "urn:oid:2.999.17.4"
	readerSystem    = "urn:oid:2.999.17.5"
	studySystem     = "urn:dicom:uid"

	typeSystem = "http://terminology.hl7.org/CodeSystem/v2-0203"
)

// A record is one resource with what the search and the events need to know of it. Records do not change.
type record struct {
	kind, id  string
	raw       json.RawMessage
	at        time.Time // when it began; zero for people
	title     string    // for the page
	note      string    // for the page: what tells it from others
	patient   *record
	encounter *record
	studies   []*record
	index     map[string][]string // by search parameter; strings folded, tokens as "system|code"
}

func (r *record) reference() string { return r.kind + "/" + r.id }

// A hospital holds the records. It is made once and shared.
type hospital struct {
	records map[string]*record   // by reference
	kinds   map[string][]*record // in the order of the table
}

// newHospital writes the table as resources. now is the time from which the table counts back.
func newHospital(people []person, users []humanName, now time.Time) (*hospital, error) {
	h := &hospital{records: map[string]*record{}, kinds: map[string][]*record{}}
	for i, name := range users {
		if err := h.addReader(i+1, name); err != nil {
			return nil, err
		}
	}
	for i, p := range people {
		b := &builder{hospital: h, person: p, number: i + 1, now: now.UTC().Truncate(time.Hour)}
		if err := b.build(); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *hospital) add(r *record, resource any) error {
	raw, err := json.Marshal(resource)
	if err != nil {
		return fmt.Errorf("write %s of the sandbox: %w", r.kind, err)
	}
	r.raw = raw
	if r.index == nil {
		r.index = map[string][]string{}
	}
	r.index["_id"] = []string{r.id}
	for parameter, to := range map[string]*record{"patient": r.patient, "subject": r.patient, "encounter": r.encounter} {
		if to != nil {
			r.index[parameter] = []string{to.reference()}
		}
	}
	h.records[r.reference()] = r
	h.kinds[r.kind] = append(h.kinds[r.kind], r)
	return nil
}

func (h *hospital) addReader(number int, name humanName) error {
	ident := identifier{System: readerSystem, Value: "R" + strconv.Itoa(number)}
	r := &record{kind: "Practitioner", id: readerID(number), title: name.Text,
		index: map[string][]string{"identifier": {ident.token()}, "name": nameParts([]humanName{name})}}
	return h.add(r, practitionerResource{ResourceType: r.kind, ID: r.id, Identifier: []identifier{ident}, Active: true, Name: []humanName{name}})
}

// readerID is the id of the Practitioner with that number, and the name under which that person signs in.
func readerID(number int) string { return "reader" + strconv.Itoa(number) }

// A builder writes one person of the table.
type builder struct {
	hospital *hospital
	person   person
	number   int
	now      time.Time

	patient *record
	exams   []*record
	orders  map[*record][]identifier // the accessions of a study
}

func (b *builder) build() error {
	b.orders = map[*record][]identifier{}
	if err := b.addPatient(); err != nil {
		return err
	}
	for i, v := range b.person.visits {
		encounter, err := b.addVisit(i+1, v)
		if err != nil {
			return err
		}
		for j, e := range v.studies {
			if err := b.addStudy(encounter, e, j); err != nil {
				return err
			}
		}
	}
	for i, f := range b.person.reports {
		if err := b.addReport(i+1, f); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) id(letter string, n int) string {
	return fmt.Sprintf("p%02d-%s%d", b.number, letter, n)
}

// started is when a visit began: some hours back, so that what was done since is not in the future.
func (b *builder) started(v visit) time.Time {
	return b.now.AddDate(0, 0, -v.daysAgo).Add(-5 * time.Hour)
}

func (b *builder) addPatient() error {
	born := b.person.born
	if born == "yesterday" {
		born = b.now.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	mrn := typed("MR", "Medical record number", mrnSystem, fmt.Sprintf("SB%06d", 100000+b.number*7))
	b.patient = &record{kind: "Patient", id: fmt.Sprintf("p%02d", b.number), title: b.person.names[0].Text, note: "MRN " + mrn.Value,
		index: map[string][]string{"identifier": {mrn.token()}, "name": nameParts(b.person.names), "gender": {b.person.sex}}}
	if born != "" {
		b.patient.index["birthdate"] = []string{born}
		b.patient.note = "born " + born + ", " + b.patient.note
	}
	for i, n := range b.person.names {
		if i > 0 {
			b.patient.note = n.Text + ", " + b.patient.note
		}
		b.patient.index["family"] = append(b.patient.index["family"], fold(n.Family))
		for _, given := range n.Given {
			b.patient.index["given"] = append(b.patient.index["given"], fold(given))
		}
	}
	return b.hospital.add(b.patient, patientResource{ResourceType: "Patient", ID: b.patient.id, Identifier: []identifier{mrn},
		Active: true, Name: b.person.names, Gender: b.person.sex, BirthDate: born})
}

func (b *builder) subject() reference { return reference{Reference: b.patient.reference()} }

func (b *builder) addVisit(n int, v visit) (*record, error) {
	number := typed("VN", "Visit number", visitSystem, fmt.Sprintf("V%02d%02d", b.number, n))
	start := b.started(v)
	status, when := "in-progress", period{Start: start.Format(time.RFC3339)}
	if v.over {
		status, when.End = "finished", start.Add(3*time.Hour).Format(time.RFC3339)
	}
	r := &record{kind: "Encounter", id: b.id("e", n), patient: b.patient, at: start, title: v.reason, note: start.Format(time.DateOnly) + ", " + number.Value,
		index: map[string][]string{"identifier": {number.token()}, "status": {status}}}
	return r, b.hospital.add(r, encounterResource{ResourceType: r.kind, ID: r.id, Identifier: []identifier{number}, Status: status,
		Class:   coding{System: "http://terminology.hl7.org/CodeSystem/v3-ActCode", Code: v.class},
		Subject: b.subject(), Period: when, ReasonCode: []concept{{Text: v.reason}}})
}

func (b *builder) addStudy(encounter *record, e exam, nth int) error {
	n := len(b.exams) + 1
	started := encounter.at.Add(time.Duration(nth+1) * time.Hour)
	r := &record{kind: "ImagingStudy", id: b.id("s", n), patient: b.patient, encounter: encounter, at: started, title: e.title, index: map[string][]string{"status": {"available"}}}
	uid := uidOf(r.id)
	idents := []identifier{{Use: "official", System: studySystem, Value: "urn:oid:" + uid}}
	for range max(e.orders, 1) {
		accession := typed("ACSN", "Accession ID", accessionSystem, fmt.Sprintf("A%02d%03d", b.number, b.accessions()+1))
		b.orders[r] = append(b.orders[r], accession)
		idents = append(idents, accession)
		r.note += ", " + accession.Value
	}
	r.note = e.modality + ", " + started.Format(time.DateOnly) + r.note
	for _, ident := range idents {
		r.index["identifier"] = append(r.index["identifier"], ident.token())
	}
	modality := coding{System: "http://dicom.nema.org/resources/ontology/DCM", Code: e.modality}
	var list []series
	for i := range e.series {
		list = append(list, series{UID: uidOf(r.id + "." + strconv.Itoa(i+1)), Number: i + 1, Modality: modality, NumberOfInstances: e.images})
	}
	b.exams = append(b.exams, r)
	return b.hospital.add(r, studyResource{ResourceType: r.kind, ID: r.id, Identifier: idents, Status: "available", Modality: []coding{modality},
		Subject: b.subject(), Encounter: &reference{Reference: encounter.reference()}, Started: started.Format(time.RFC3339),
		NumberOfSeries: e.series, NumberOfInstances: e.series * e.images, Description: e.title, Series: list})
}

// accessions is how many the patient has so far.
func (b *builder) accessions() (n int) {
	for _, list := range b.orders {
		n += len(list)
	}
	return n
}

func (b *builder) addReport(n int, f finding) error {
	number := identifier{System: reportSystem, Value: fmt.Sprintf("REP%02d%02d", b.number, n)}
	r := &record{kind: "DiagnosticReport", id: b.id("r", n), patient: b.patient, note: f.status + ", " + number.Value,
		index: map[string][]string{"identifier": {number.token()}, "status": {f.status}}}
	out := reportResource{ResourceType: r.kind, ID: r.id, Identifier: []identifier{number}, Status: f.status, Subject: b.subject(), Conclusion: f.text,
		Category: []concept{{Coding: []coding{{System: "http://terminology.hl7.org/CodeSystem/v2-0074", Code: "RAD", Display: "Radiology"}}}}}
	for _, i := range f.studies {
		study := b.exams[i-1]
		r.studies = append(r.studies, study)
		out.ImagingStudy = append(out.ImagingStudy, reference{Reference: study.reference()})
		for _, accession := range b.orders[study] {
			out.BasedOn = append(out.BasedOn, reference{Type: "ServiceRequest", Identifier: &accession})
		}
	}
	first := r.studies[0]
	r.encounter, r.title = first.encounter, "Report: "+first.title
	out.Encounter = &reference{Reference: first.encounter.reference()}
	out.Code = concept{Coding: []coding{{System: "http://loinc.org", Code: "18748-4", Display: "Diagnostic imaging study"}}, Text: first.title}
	r.at = first.at
	out.Effective = r.at.Format(time.RFC3339)
	if f.status != "registered" {
		out.Issued = r.at.Add(time.Hour).Format(time.RFC3339)
	}
	return b.hospital.add(r, out)
}

func typed(code, display, system, value string) identifier {
	return identifier{Use: "usual", Type: &concept{Coding: []coding{{System: typeSystem, Code: code, Display: display}}}, System: system, Value: value}
}

// uidOf derives a DICOM UID from a name: a UUID written as a number under 2.25 (DICOM PS3.5, B.2). The same name gives
// the same UID in every sandbox, so that recordings can be compared.
func uidOf(name string) string {
	sum := sha256.Sum256([]byte("castray sandbox " + name))
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x80 // version 8: made as its maker likes
	id[8] = id[8]&0x3f | 0x80
	return "2.25." + new(big.Int).SetBytes(id).String()
}
