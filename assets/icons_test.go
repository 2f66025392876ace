package assets

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "draw the icons anew")

// phases are those of DESIGN 3.4, spelled out: a picture is looked up by the word that scripts see.
var phases = []string{"signed_out", "signing_in", "connecting", "no_context", "in_sync", "unconfirmed", "attention", "out_of_sync",
	"paused", "offline", "login_needed", "locked", "blocked", "stopping"}

const pngSize = 64

var icoSizes = []int{16, 20, 24, 32, 48, 64}

// TestMain draws the files before anything is tested against them; embedded they are with the next build.
func TestMain(m *testing.M) {
	flag.Parse()
	if !*update {
		os.Exit(m.Run())
	}
	for phase := range pictures {
		if err := write(phase); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func TestEveryPhaseHasItsPicture(t *testing.T) {
	drawn := slices.Sorted(maps.Keys(pictures))
	if want := slices.Sorted(slices.Values(phases)); !slices.Equal(drawn, want) {
		t.Fatalf("drawn are %v, phases are %v", drawn, want)
	}
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			png, ico := Icon(phase)
			same(t, pngImage(t, png), drawIcon(phase, pngSize))
			images, err := decodeICO(ico)
			if err != nil {
				t.Fatal(err)
			}
			var sizes []int
			for _, img := range images {
				sizes = append(sizes, img.Rect.Dx())
				same(t, img, drawIcon(phase, img.Rect.Dx()))
			}
			if !slices.Equal(sizes, icoSizes) {
				t.Errorf("the icon holds %v, want %v", sizes, icoSizes)
			}
		})
	}
}

func TestNoPictureIsLeftOver(t *testing.T) {
	files, err := icons.ReadDir("icons")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, _, _ := strings.Cut(f.Name(), ".")
		if !slices.Contains(phases, name) {
			t.Errorf("icons/%s belongs to no phase", f.Name())
		}
	}
	if len(files) != 2*len(phases) {
		t.Errorf("%d files for %d phases, want two each", len(files), len(phases))
	}
}

// What is unknown must not look well.
func TestUnknownPhaseLooksLikeAttention(t *testing.T) {
	wantPNG, wantICO := Icon("attention")
	for _, phase := range []string{"", "brand_new", "../icons", "in_sync.png"} {
		if png, ico := Icon(phase); !bytes.Equal(png, wantPNG) || !bytes.Equal(ico, wantICO) {
			t.Errorf("%q does not look like attention", phase)
		}
	}
}

// Whoever sees no colours, or sees the icon as a one-coloured template, tells two phases by where there is paint.
func TestPhasesDifferInShape(t *testing.T) {
	const atLeast = 0.10 // of the square must be painted in one and empty in the other
	for _, size := range icoSizes {
		drawn := map[string]*image.NRGBA{}
		for _, phase := range phases {
			drawn[phase] = drawIcon(phase, size)
		}
		for i, a := range phases {
			for _, b := range phases[i+1:] {
				if d := difference(drawn[a], drawn[b]); d < atLeast {
					t.Errorf("at %d pixels %s and %s differ in %.1f %% of their area", size, a, b, 100*d)
				}
			}
		}
	}
}

// A picture must be seen on a white panel and on a black one: some part of it stands out by 3:1 against each, and
// that part is no speck.
func TestPicturesShowOnLightAndDark(t *testing.T) {
	for _, phase := range phases {
		img := drawIcon(phase, 16)
		for _, panel := range []color.NRGBA{{0xff, 0xff, 0xff, 0xff}, {0x1e, 0x1e, 0x1e, 0xff}} {
			n := 0
			for y := range 16 {
				for x := range 16 {
					if c := img.NRGBAAt(x, y); c.A > 200 && contrast(c, panel) >= 3 {
						n++
					}
				}
			}
			if n < 16 {
				t.Errorf("%s on a panel of brightness %d: %d pixels stand out", phase, panel.R, n)
			}
		}
	}
}

func drawIcon(phase string, size int) *image.NRGBA { return paint(pictures[phase], size) }

func write(phase string) error {
	var b bytes.Buffer
	if err := png.Encode(&b, drawIcon(phase, pngSize)); err != nil {
		return err
	}
	var images []*image.NRGBA
	for _, size := range icoSizes {
		images = append(images, drawIcon(phase, size))
	}
	for ext, content := range map[string][]byte{".png": b.Bytes(), ".ico": encodeICO(images)} {
		if err := os.WriteFile(filepath.Join("icons", phase+ext), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func pngImage(t *testing.T, b []byte) *image.NRGBA {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, ok := img.(*image.NRGBA)
	if !ok {
		t.Fatalf("is a %T: a picture without transparency", img)
	}
	return out
}

// same allows for one sample of a pixel to fall on the other side: processors round differently.
func same(t *testing.T, got, want *image.NRGBA) {
	t.Helper()
	if got.Rect != want.Rect {
		t.Fatalf("is %v, drawn %v", got.Rect, want.Rect)
	}
	for i, w := range want.Pix {
		if i%4 != 3 && want.Pix[i|3] < 128 {
			continue // a colour that is hardly seen
		}
		if d := int(got.Pix[i]) - int(w); d < -8 || d > 8 {
			t.Fatalf("differs from what is drawn at %d pixels: go test ./assets -update", want.Rect.Dx())
		}
	}
}

// difference is the part of the square that is painted in one picture and empty in the other.
func difference(a, b *image.NRGBA) float64 {
	sum := 0
	for i := 3; i < len(a.Pix); i += 4 {
		sum += max(int(a.Pix[i])-int(b.Pix[i]), int(b.Pix[i])-int(a.Pix[i]))
	}
	return float64(sum) / 255 / float64(len(a.Pix)/4)
}

// contrast is the ratio of WCAG 2.1, 1.4.11.
func contrast(a, b color.NRGBA) float64 {
	light := func(c color.NRGBA) float64 {
		linear := func(v uint8) float64 {
			if f := float64(v) / 255; f > 0.03928 {
				return math.Pow((f+0.055)/1.055, 2.4)
			}
			return float64(v) / 255 / 12.92
		}
		return 0.2126*linear(c.R) + 0.7152*linear(c.G) + 0.0722*linear(c.B)
	}
	la, lb := light(a), light(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}
