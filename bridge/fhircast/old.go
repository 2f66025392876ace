package fhircast

import "strings"

// names2019 are the names of 2018 and 2019, before they became resource and verb (STU1): of the drafts and the ballot of
// May 2019, of the examples that STU1 and STU2 kept, and of a vendor's prototype. The first of each name of today is the
// one to write. A switch says that what is open comes to the front, which an open says today.
var names2019 = []struct{ then, now Name }{
	{"open-patient-chart", "Patient-open"},
	{"patient-open-chart", "Patient-open"},
	{"switch-patient-chart", "Patient-open"},
	{"close-patient-chart", "Patient-close"},
	{"patient-close-chart", "Patient-close"},
	{"open-imaging-study", "ImagingStudy-open"},
	{"switch-imaging-study", "ImagingStudy-open"},
	{"close-imaging-study", "ImagingStudy-close"},
	{"user-logout", UserLogout},
	{"user-logoff", UserLogout},
	{"user-hibernate", UserHibernate},
	{"sync-error", SyncError},
}

// now is the name of today for one of the old names, and every other name as it is.
func (n Name) now() Name {
	switch len(n) {
	case 10, 11, 14, 18, 19, 20: // of the names above: most of today's are passed without a look
	default:
		return n
	}
	for _, old := range names2019 {
		if len(old.then) == len(n) && strings.EqualFold(string(old.then), string(n)) {
			return old.now
		}
	}
	return n
}
