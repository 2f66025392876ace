// Package assets holds what is shown to people and embedded in the program: the tray's icons, one per phase.
//
// A phase is told by its shape; the colour only repeats it, so that nobody needs to tell red from green. The pictures
// are drawn by the tests of this package (go test ./assets -update) from the shapes in shapes_test.go.
//
// It knows nothing else of the program: which phase it is, and where the picture goes, is the caller's. Nothing here
// changes, and all of it may be used from any goroutine.
package assets

import "embed"

//go:embed icons/*.png icons/*.ico
var icons embed.FS

// unknown is drawn for a phase that has no picture, since what is unknown must never look well.
const unknown = "attention"

// Icon returns the picture of a phase: a PNG of 64 x 64 pixels for Linux and macOS, and a Windows icon of 16, 20, 24,
// 32, 48 and 64 pixels. A phase it does not know looks like attention. The caller may keep both.
func Icon(phase string) (png, ico []byte) {
	png, err := icons.ReadFile("icons/" + phase + ".png")
	if err != nil {
		return Icon(unknown)
	}
	ico, err = icons.ReadFile("icons/" + phase + ".ico")
	if err != nil {
		return Icon(unknown)
	}
	return png, ico
}
