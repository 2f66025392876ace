package config

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

func inspect(f *os.File) (privacy, error) {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return privacy{}, err
	}
	sd, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_FILE_OBJECT,
		windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return privacy{}, err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return privacy{}, err
	}
	acl, _, err := sd.DACL()
	if err != nil {
		return privacy{}, err
	}
	var entries []access
	if acl == nil { // no list at all admits everybody
		entries = append(entries, access{sid: "S-1-1-0", mask: windows.GENERIC_ALL})
	} else {
		for i := range uint32(acl.AceCount) {
			var ace *windows.ACCESS_ALLOWED_ACE
			if err := windows.GetAce(acl, i, &ace); err != nil {
				return privacy{}, err
			}
			entries = append(entries, access{
				sid:     (*windows.SID)(unsafe.Pointer(&ace.SidStart)).String(),
				mask:    uint32(ace.Mask),
				refuses: ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE,
				unborn:  ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0,
			})
		}
	}
	return judgeACL(f.Name(), owner.String(), user.User.Sid.String(), entries), nil
}
