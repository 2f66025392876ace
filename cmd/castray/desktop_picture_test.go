//go:build desktop && linux

package main_test

import (
	"bytes"
	"flag"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"

	"github.com/chromedp/chromedp"

	"github.com/castray/castray/ipc/protocol"
)

// picturesDir takes the pictures of the documentation:
// go test -tags desktop -count=1 -run Desktop/Pictures ./cmd/castray -pictures $PWD/docs/pictures
var picturesDir = flag.String("pictures", "", "write tray-menu.png and ehr-page.png into this `folder`")

// What a person sees while an app follows: the menu in a real panel, opened with the mouse, and the EHR page.
func pictures(s *session) {
	s.startScreen()
	s.startKeyring() // else the bus starts one that asks for a password in the picture
	s.useDefaultBrowser()
	hospital := s.startSandbox()
	empty := s.settle("the empty panel is drawn", func(now image.Image) bool { return now.At(0, 0) != now.At(0, screen.Dy()-1) })
	agent := s.startAgent()
	s.eventually("the panel has our icon", func() bool { return slices.Contains(s.icons(), "Castray") })

	login := s.start(s.castrayFile, "login")
	person := s.attach()
	person.answer("#allow")
	login.ends(0, "Signed in as Ada Reader.")
	s.env["CASTRAY_SOCKET"] = s.path("run/castray/castray.sock")
	s.start("legacyapp", "-name", "viewer")
	s.untilApp("viewer", "")
	ehr := person.open(hospital.EHRURL)
	person.do(ehr, chromedp.EmulateViewport(1280, 900))
	for _, step := range []string{"Patient-p02", "ImagingStudy-p02-s1", "Patient-p01"} {
		person.do(ehr, chromedp.Click(chromedp.CSS("#open-"+step)), chromedp.WaitVisible(chromedp.CSS(`#current[data-row="row-`+step+`"]`)),
			chromedp.WaitVisible(chromedp.CSS("#subscribers .answer.good")))
	}
	s.untilApp("viewer", protocol.OutcomeAcknowledged)
	s.untilPhase(protocol.PhaseInSync)
	person.keepPage(ehr)
	s.openMenu(empty)

	s.quit(agent)
	s.eventually("the icon is gone", func() bool { return !slices.Contains(s.icons(), "Castray") })
}

// openMenu clicks on the icon, which is what the panel did not have when it was empty.
func (s *session) openMenu(empty image.Image) {
	s.Helper()
	var icon image.Rectangle
	closed := s.settle("the icon is drawn", func(now image.Image) bool {
		icon = differ(empty, now)
		return !icon.Empty()
	})
	if icon.Max.Y > 40 || icon.Min.X < screen.Dx()/2 {
		s.Fatalf("the icon is at %v, not at the right end of the panel", icon)
	}
	s.click(icon)
	var menu image.Rectangle
	open := s.settle("the menu is open", func(now image.Image) bool {
		menu = differ(closed, now)
		return menu.Dy() > screen.Dy()/3
	})
	const around = 40
	s.keepPicture("tray-menu.png", cut(open, image.Rect(max(menu.Min.X-2*around, 0), 0, screen.Dx(), min(menu.Max.Y+around, screen.Dy()))))
	s.must("xdotool", "key", "Escape")
}

// keepPage takes a picture of a page.
func (b *browser) keepPage(page tab) {
	b.Helper()
	text, err := chromedp.Run(page, chromedp.CaptureScreenshot())
	if err != nil {
		b.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	if img.Bounds().Size() != image.Pt(1280, 900) {
		b.Errorf("the picture of the page is of %v", img.Bounds().Size())
	}
	b.keepPicture("ehr-page.png", img)
}

// keepPicture writes a picture where -pictures says, if it does, after a look whether anything is on it.
func (s *session) keepPicture(name string, img image.Image) {
	s.Helper()
	if n := colours(img); n < 20 {
		s.Errorf("%s has %d colours; something is missing", name, n)
	}
	if *picturesDir == "" {
		return
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*picturesDir, name), b.Bytes(), 0o644); err != nil {
		s.Fatal(err)
	}
}

// colours is how many there are in a picture.
func colours(img image.Image) int {
	seen := map[[4]uint32]bool{}
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, a := img.At(x, y).RGBA()
			seen[[4]uint32{r, g, b, a}] = true
		}
	}
	return len(seen)
}
