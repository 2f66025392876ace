package sandbox

// A person is one row of the table of patients: everybody in it is invented. The row says what a reader would tell
// about a patient; identifiers, references and UIDs are made from the row's place (hospital.go).
type person struct {
	names   []humanName // the first is the official one
	sex     string
	born    string // a FHIR date, perhaps a year alone; "yesterday" for the newborn; "" when nobody knows
	visits  []visit
	reports []finding
}

// A visit is one encounter with the studies made in it.
type visit struct {
	daysAgo int
	class   string // a code of HL7's ActCode: AMB, EMER, IMP
	reason  string
	over    bool
	studies []exam
}

// An exam is one imaging study. It answers one order, or two where a study was read as two procedures.
type exam struct {
	modality string
	title    string
	orders   int // 0 means 1
	series   int
	images   int // in each series
}

// A finding is one report about the studies of those numbers, counted from 1 over all visits of the patient.
type finding struct {
	studies []int
	status  string // of DiagnosticReport: registered, preliminary, final, amended
	text    string
}

func western(family string, given ...string) humanName {
	text := family
	for i := len(given) - 1; i >= 0; i-- {
		text = given[i] + " " + text
	}
	return humanName{Use: "official", Text: text, Family: family, Given: given}
}

// persons are chosen for what goes wrong with patients: two of one name, a study under two accessions, a report about
// two studies, names beyond ASCII in both directions, no family name, no known birth date, a name too long for any
// column, nobody's image yet.
var persons = []person{
	{names: []humanName{western("Rossi", "Maria")}, sex: "female", born: "1961-03-14",
		visits: []visit{
			{daysAgo: 0, class: "AMB", reason: "Cough for three weeks", studies: []exam{{modality: "CT", title: "CT chest with contrast", series: 3, images: 212}}},
			{daysAgo: 402, class: "AMB", reason: "Check before surgery", over: true, studies: []exam{{modality: "CR", title: "Chest, two views", series: 1, images: 2}}},
		},
		reports: []finding{{[]int{1}, "preliminary", "Nodule of 6 mm in the right upper lobe, not seen on the earlier films."}, {[]int{2}, "final", "No acute disease."}}},
	{names: []humanName{western("Rossi", "Maria")}, sex: "female", born: "1987-11-02",
		visits:  []visit{{daysAgo: 0, class: "EMER", reason: "Fall on the left wrist", studies: []exam{{modality: "DX", title: "Wrist left, three views", series: 1, images: 3}}}},
		reports: []finding{{[]int{1}, "registered", ""}}},
	{names: []humanName{western("Gonçalves-Müller", "João", "Åke")}, sex: "male", born: "1974-07-30",
		visits:  []visit{{daysAgo: 1, class: "AMB", reason: "Pain in the right knee", studies: []exam{{modality: "MR", title: "MR knee right", series: 6, images: 32}}}},
		reports: []finding{{[]int{1}, "final", "Tear of the posterior horn of the medial meniscus."}}},
	{names: []humanName{
		{Use: "official", Text: "山田 太郎", Family: "山田", Given: []string{"太郎"}},
		{Use: "usual", Text: "Tarō Yamada", Family: "Yamada", Given: []string{"Tarō"}}}, sex: "male", born: "1958-12-24",
		visits: []visit{{daysAgo: 3, class: "IMP", reason: "Stroke unit", studies: []exam{
			{modality: "CT", title: "CT head without contrast", series: 2, images: 64}, {modality: "MR", title: "MR head, diffusion", series: 5, images: 48}}}},
		reports: []finding{{[]int{1}, "final", "No haemorrhage."}, {[]int{2}, "preliminary", "Restricted diffusion in the left insula."}}},
	{names: []humanName{
		{Use: "official", Text: "ليلى الحدّاد", Family: "الحدّاد", Given: []string{"ليلى"}},
		{Use: "usual", Text: "Layla al-Haddad", Family: "al-Haddad", Given: []string{"Layla"}}}, sex: "female", born: "1990-05-06",
		visits:  []visit{{daysAgo: 2, class: "AMB", reason: "Pain in the upper abdomen", studies: []exam{{modality: "US", title: "Ultrasound abdomen", series: 1, images: 24}}}},
		reports: []finding{{[]int{1}, "final", "Gallstones without sign of inflammation."}}},
	{names: []humanName{western("Okafor", "Baby Girl")}, sex: "female", born: "yesterday",
		visits:  []visit{{daysAgo: 0, class: "IMP", reason: "Newborn, respiratory distress", studies: []exam{{modality: "DX", title: "Chest and abdomen, newborn", series: 1, images: 1}}}},
		reports: []finding{{[]int{1}, "preliminary", "Tube and lines in place."}}},
	{names: []humanName{western("von und zu Hohenbergen-Altenkirchen-Niederwaldstetten-Unterammersbach",
		"Maximiliane", "Theodora", "Wilhelmina", "Antoinette", "Konstanze", "Friederike")}, sex: "female", born: "1942-02-28",
		visits:  []visit{{daysAgo: 5, class: "IMP", reason: "Planned replacement of the hip", studies: []exam{{modality: "DX", title: "Pelvis and hip left for planning, with calibration sphere, standing and lying", series: 2, images: 2}}}},
		reports: []finding{{[]int{1}, "final", "Advanced osteoarthritis of the left hip."}}},
	{names: []humanName{western("Pendleton", "Arthur", "J.")}, sex: "male", born: "1955-09-09",
		visits:  []visit{{daysAgo: 0, class: "EMER", reason: "Injury from a traffic accident", studies: []exam{{modality: "CT", title: "CT chest, abdomen and pelvis", orders: 2, series: 4, images: 380}}}},
		reports: []finding{{[]int{1}, "registered", ""}}},
	{names: []humanName{western("Bjørnstad", "Ingrid")}, sex: "female", born: "1969-01-17",
		visits: []visit{
			{daysAgo: 7, class: "AMB", reason: "Screening, called back", over: true, studies: []exam{
				{modality: "MG", title: "Mammography both sides", series: 4, images: 1}, {modality: "US", title: "Ultrasound breast left", series: 1, images: 12}}},
			{daysAgo: 737, class: "AMB", reason: "Screening", over: true, studies: []exam{{modality: "MG", title: "Mammography both sides", series: 4, images: 1}}},
		},
		reports: []finding{{[]int{1, 2}, "final", "Simple cyst on the left. Back to screening."}, {[]int{3}, "final", "No finding."}}},
	{names: []humanName{western("O’Neill & D'Souza", "Siobhán")}, sex: "other", born: "2001-08-19",
		visits:  []visit{{daysAgo: 30, class: "AMB", reason: "Headache < 3 months", over: true, studies: []exam{{modality: "MR", title: "MR head \"without\" & with contrast", series: 7, images: 40}}}},
		reports: []finding{{[]int{1}, "amended", "Normal. Side of the earlier report corrected."}}},
	{names: []humanName{{Use: "official", Text: "Suharti", Given: []string{"Suharti"}}}, sex: "female", born: "1980",
		visits: []visit{{daysAgo: 4, class: "AMB", reason: "First visit"}}},
	{names: []humanName{{Use: "temp", Text: "Unknown Echo-Seven", Family: "Unknown", Given: []string{"Echo-Seven"}}}, sex: "unknown",
		visits:  []visit{{daysAgo: 0, class: "EMER", reason: "Found unresponsive", studies: []exam{{modality: "CT", title: "CT whole body, trauma", series: 5, images: 520}}}},
		reports: []finding{{[]int{1}, "registered", ""}}},
}

// readers are the people who can sign in. Beyond the table they are numbered.
var readers = []humanName{
	western("Reader", "Ada"), western("Marković", "Ivo"), western("Nakamura", "Yui"), western("Admin", "Sam"),
}
