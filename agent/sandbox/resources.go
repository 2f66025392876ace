package sandbox

// The parts of FHIR R4 that the sandbox writes, in the order in which a person reads them.

type coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

type identifier struct {
	Use    string   `json:"use,omitempty"`
	Type   *concept `json:"type,omitempty"`
	System string   `json:"system"`
	Value  string   `json:"value"`
}

// token is the identifier as a search parameter writes it.
func (i identifier) token() string { return i.System + "|" + i.Value }

type reference struct {
	Reference  string      `json:"reference,omitempty"`
	Type       string      `json:"type,omitempty"`
	Identifier *identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

type humanName struct {
	Use    string   `json:"use,omitempty"`
	Text   string   `json:"text"`
	Family string   `json:"family,omitempty"`
	Given  []string `json:"given,omitempty"`
}

type period struct {
	Start string `json:"start"`
	End   string `json:"end,omitempty"`
}

type patientResource struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Identifier   []identifier `json:"identifier"`
	Active       bool         `json:"active"`
	Name         []humanName  `json:"name"`
	Gender       string       `json:"gender"`
	BirthDate    string       `json:"birthDate,omitempty"`
}

type encounterResource struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Identifier   []identifier `json:"identifier"`
	Status       string       `json:"status"`
	Class        coding       `json:"class"`
	Subject      reference    `json:"subject"`
	Period       period       `json:"period"`
	ReasonCode   []concept    `json:"reasonCode"`
}

type series struct {
	UID               string `json:"uid"`
	Number            int    `json:"number"`
	Modality          coding `json:"modality"`
	NumberOfInstances int    `json:"numberOfInstances"`
}

type studyResource struct {
	ResourceType      string       `json:"resourceType"`
	ID                string       `json:"id"`
	Identifier        []identifier `json:"identifier"`
	Status            string       `json:"status"`
	Modality          []coding     `json:"modality"`
	Subject           reference    `json:"subject"`
	Encounter         *reference   `json:"encounter,omitempty"`
	Started           string       `json:"started"`
	NumberOfSeries    int          `json:"numberOfSeries"`
	NumberOfInstances int          `json:"numberOfInstances"`
	Description       string       `json:"description"`
	Series            []series     `json:"series"`
}

type reportResource struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Identifier   []identifier `json:"identifier"`
	BasedOn      []reference  `json:"basedOn"`
	Status       string       `json:"status"`
	Category     []concept    `json:"category"`
	Code         concept      `json:"code"`
	Subject      reference    `json:"subject"`
	Encounter    *reference   `json:"encounter,omitempty"`
	Effective    string       `json:"effectiveDateTime"`
	Issued       string       `json:"issued,omitempty"`
	ImagingStudy []reference  `json:"imagingStudy"`
	Conclusion   string       `json:"conclusion,omitempty"`
}

type practitionerResource struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Identifier   []identifier `json:"identifier"`
	Active       bool         `json:"active"`
	Name         []humanName  `json:"name"`
}
