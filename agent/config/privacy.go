package config

import "io/fs"

// judgeMode decides about a file on Unix from its permission bits and owner.
func judgeMode(path string, mode fs.FileMode, owner, me int) privacy {
	var p privacy
	switch {
	case owner != me:
		p.readable = "it belongs to another user; make it yours, then: chmod 600 " + path
	case mode&0o077 != 0:
		p.readable = "others may read or change it; run: chmod 600 " + path
	}
	if mode&0o022 != 0 {
		p.writable = "others may change it; run: chmod 644 " + path
	}
	return p
}

// An access is one entry of a Windows access control list.
type access struct {
	sid     string
	mask    uint32
	refuses bool // or is of a kind that grants nothing by itself
	unborn  bool // only for what is made below it
}

// judgeACL decides about a file on Windows. The system and the administrators read everything anyway, so they do not
// count as others.
func judgeACL(path, owner, me string, entries []access) privacy {
	const (
		system         = "S-1-5-18"
		administrators = "S-1-5-32-544"
		ownerRights    = "S-1-3-4"

		// FILE_READ_DATA, FILE_WRITE_DATA, WRITE_DAC, WRITE_OWNER, GENERIC_ALL, GENERIC_WRITE, GENERIC_READ: each
		// reads the file or can give itself the right to.
		useful = 0x1 | 0x2 | 0x40000 | 0x80000 | 0x10000000 | 0x40000000 | 0x80000000
	)
	ours := map[string]bool{me: true, system: true, administrators: true, ownerRights: true}
	remedy := `run: icacls "` + path + `" /inheritance:r /grant:r *` + me + `:F`
	if !ours[owner] {
		return privacy{readable: "it belongs to another user; make it yours, then " + remedy}
	}
	for _, e := range entries {
		if !e.refuses && !e.unborn && e.mask&useful != 0 && !ours[e.sid] {
			return privacy{readable: "others may read or change it; " + remedy}
		}
	}
	return privacy{}
}
