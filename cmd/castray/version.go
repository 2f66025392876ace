package main

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/castray/castray/ipc/protocol"
)

// release is set by the linker when a release is built: -X main.release=1.0.0
var release string

// version is the release, or what Go knows of the source that this was built from.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "devel"
}

func (t *tool) versionCommand() *cobra.Command {
	return t.jsonFlag(&cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if t.json {
				return t.printJSON(struct {
					Version  string `json:"version"`
					Go       string `json:"go"`
					OS       string `json:"os"`
					Arch     string `json:"arch"`
					Protocol int    `json:"protocol"`
				}{version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, protocol.Version})
			}
			return t.print("castray %s (%s, %s/%s, local protocol %d)", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, protocol.Version)
		},
	})
}
