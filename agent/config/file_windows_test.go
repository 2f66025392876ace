package config

import (
	"os"
	"testing"

	"golang.org/x/sys/windows"
)

// What Windows enforces is not tested here, only that we see what the list of a file says.
func TestInspectReadsTheList(t *testing.T) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	path := save(t, "castray.toml", "")
	for _, test := range []struct {
		sddl   string
		others bool
	}{
		{"D:P(A;;FA;;;" + user.User.Sid.String() + ")", false},
		{"D:P(A;;FA;;;" + user.User.Sid.String() + ")(A;;FR;;;WD)", true},
	} {
		sd, err := windows.SecurityDescriptorFromString(test.sddl)
		if err != nil {
			t.Fatal(err)
		}
		acl, _, err := sd.DACL()
		if err != nil {
			t.Fatal(err)
		}
		if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION,
			nil, nil, acl, nil); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		who, err := inspect(f)
		f.Close()
		if err != nil || (who.readable != "") != test.others {
			t.Errorf("%s: %+v, %v; want others %v", test.sddl, who, err, test.others)
		}
	}
}
