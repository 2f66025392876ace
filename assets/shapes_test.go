package assets

import "image/color"

// Colours that people with any kind of colour vision tell apart (Okabe and Ito), readable on light and dark panels.
// Yellow and orange are too pale for a light one and get a dark edge.
var (
	grey       = color.NRGBA{0x80, 0x80, 0x80, 0xff}
	blue       = color.NRGBA{0x1a, 0x7f, 0xc4, 0xff}
	blueGreen  = color.NRGBA{0x00, 0x9e, 0x73, 0xff}
	orange     = color.NRGBA{0xe6, 0x9f, 0x00, 0xff}
	vermillion = color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	yellow     = color.NRGBA{0xf0, 0xe4, 0x42, 0xff}
	dark       = color.NRGBA{0x20, 0x20, 0x20, 0xff}
	white      = color.NRGBA{0xff, 0xff, 0xff, 0xff}
)

// pen is half the width of a line: two pixels of sixteen, no less, or it is lost.
const pen = 0.135

// edged paints s with a dark edge around it.
func edged(s shape, c color.NRGBA) []layer {
	return []layer{{s.grown(0.12), dark}, {s, c}}
}

// pictures has the drawing of every phase. Marks inside a shape are holes, so that they show on any panel.
var pictures = map[string][]layer{
	"signed_out":   {{disc(0, 0, 0.76).line(pen), grey}}, // an empty circle
	"signing_in":   {{door, blue}},                       // an arrow through a door
	"connecting":   {{join(disc(-0.66, 0, 0.25), disc(0, 0, 0.25), disc(0.66, 0, 0.25)), blue}},
	"no_context":   {{disc(0, 0, 0.92).minus(disc(0, 0, 0.36)), blueGreen}}, // a full disc with an empty middle
	"in_sync":      {{disc(0, 0, 0.92).minus(tick), blueGreen}},
	"unconfirmed":  {{join(disc(0, 0, 0.76).line(pen), common(disc(0, 0, 0.8), half(1, 0, 0))), blue}}, // half a disc
	"attention":    append(edged(triangle, orange), layer{exclamation, dark}),
	"out_of_sync":  {{brokenLink, vermillion}},
	"paused":       edged(join(box(-0.42, 0, 0.24, 0.78, 0.06), box(0.42, 0, 0.24, 0.78, 0.06)), yellow),
	"offline":      {{disc(0, 0, 0.92).minus(stroke(-0.9, 0.9, 0.9, -0.9, 0.17)), vermillion}}, // a disc cut through
	"login_needed": edged(key, orange),
	"locked":       {{padlock, grey}},
	"blocked":      {{box(0, 0, 0.92, 0.92, 0.14), white}, {box(0, 0, 0.78, 0.78, 0.08), dark}, {box(0, 0, 0.5, 0.16, 0), white}},
	"stopping":     {{power, grey}},
}

var (
	door = join(
		stroke(0.05, -0.8, 0.78, -0.8, pen), stroke(0.78, -0.8, 0.78, 0.8, pen), stroke(0.78, 0.8, 0.05, 0.8, pen),
		stroke(-0.84, 0, 0.3, 0, pen), stroke(0.3, 0, -0.08, -0.38, pen), stroke(0.3, 0, -0.08, 0.38, pen))

	tick = join(stroke(-0.46, 0.04, -0.14, 0.36, pen), stroke(-0.14, 0.36, 0.46, -0.32, pen))

	triangle    = common(half(0, 1, 0.68), half(2, -1, 0.36), half(-2, -1, 0.36)).grown(0.08)
	exclamation = join(stroke(0, -0.22, 0, 0.16, 0.11), disc(0, 0.52, 0.13))

	// Two halves of a link that have come apart, and the sparks between them.
	halfLink   = box(-0.5, 0, 0.55, 0.36, 0.36).line(pen).minus(half(-1, 0, 0.36))
	brokenLink = join(halfLink, halfLink.turned(180), stroke(0, -0.42, 0, -0.86, 0.11), stroke(0, 0.42, 0, 0.86, 0.11)).turned(-45)

	key = join(disc(-0.46, 0, 0.3).line(pen), stroke(-0.1, 0, 0.78, 0, 0.11),
		stroke(0.72, 0, 0.72, 0.36, 0.11), stroke(0.32, 0, 0.32, 0.3, 0.11)).turned(-45)

	padlock = join(
		box(0, 0.36, 0.7, 0.54, 0.1).minus(disc(0, 0.36, 0.17)),
		box(0, -0.18, 0.42, 0.64, 0.42).line(pen).minus(half(0, -1, 0.1)))

	power = join(disc(0, 0.1, 0.68).line(pen).minus(box(0, -0.7, 0.32, 0.5, 0)), stroke(0, -0.8, 0, -0.02, pen))
)
