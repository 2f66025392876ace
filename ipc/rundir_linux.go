package ipc

import "os"

func runDir() (string, error) {
	dir := linuxRunDir(os.Getenv("XDG_RUNTIME_DIR"), os.Getuid())
	return dir, ownFolder(dir)
}
