package assets

import (
	"image"
	"image/color"
	"math"
)

// A shape is a signed distance: negative inside. The picture is the square from -1 to 1, y downwards.
type shape func(x, y float64) float64

func disc(cx, cy, r float64) shape {
	return func(x, y float64) float64 { return math.Hypot(x-cx, y-cy) - r }
}

// stroke is a line with round ends, w to each side.
func stroke(x1, y1, x2, y2, w float64) shape {
	dx, dy := x2-x1, y2-y1
	return func(x, y float64) float64 {
		at := ((x-x1)*dx + (y-y1)*dy) / (dx*dx + dy*dy)
		at = min(max(at, 0), 1)
		return math.Hypot(x-x1-at*dx, y-y1-at*dy) - w
	}
}

// box has half sides hx and hy and corners of radius r.
func box(cx, cy, hx, hy, r float64) shape {
	return func(x, y float64) float64 {
		qx, qy := math.Abs(x-cx)-hx+r, math.Abs(y-cy)-hy+r
		return math.Hypot(max(qx, 0), max(qy, 0)) + min(max(qx, qy), 0) - r
	}
}

// half is all that lies on the negative side of the line with normal (nx, ny) at distance d from the middle.
func half(nx, ny, d float64) shape {
	n := math.Hypot(nx, ny)
	return func(x, y float64) float64 { return (x*nx+y*ny)/n - d }
}

func join(shapes ...shape) shape {
	return func(x, y float64) float64 {
		d := math.Inf(1)
		for _, s := range shapes {
			d = min(d, s(x, y))
		}
		return d
	}
}

func common(shapes ...shape) shape {
	return func(x, y float64) float64 {
		d := math.Inf(-1)
		for _, s := range shapes {
			d = max(d, s(x, y))
		}
		return d
	}
}

func (s shape) minus(hole shape) shape {
	return func(x, y float64) float64 { return max(s(x, y), -hole(x, y)) }
}

// line is the outline of s, w to each side.
func (s shape) line(w float64) shape {
	return func(x, y float64) float64 { return math.Abs(s(x, y)) - w }
}

func (s shape) grown(by float64) shape {
	return func(x, y float64) float64 { return s(x, y) - by }
}

// turned rotates s clockwise.
func (s shape) turned(degrees float64) shape {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	return func(x, y float64) float64 { return s(x*cos+y*sin, y*cos-x*sin) }
}

// A layer is a shape in one colour, painted over those before it.
type layer struct {
	shape  shape
	colour color.NRGBA
}

// paint paints the layers at a size in pixels, smoothed by 8 x 8 samples a pixel.
func paint(layers []layer, size int) *image.NRGBA {
	const n = 8
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for py := range size {
		for px := range size {
			var r, g, b, hits int
			for i := range n * n {
				x := (float64(px)+(float64(i%n)+0.5)/n)*2/float64(size) - 1
				y := (float64(py)+(float64(i/n)+0.5)/n)*2/float64(size) - 1
				if c, ok := topmost(layers, x, y); ok {
					r, g, b, hits = r+int(c.R), g+int(c.G), b+int(c.B), hits+1
				}
			}
			if hits > 0 {
				img.SetNRGBA(px, py, color.NRGBA{uint8(r / hits), uint8(g / hits), uint8(b / hits), uint8(hits * 255 / (n * n))})
			}
		}
	}
	return img
}

func topmost(layers []layer, x, y float64) (color.NRGBA, bool) {
	for i := len(layers) - 1; i >= 0; i-- {
		if layers[i].shape(x, y) < 0 {
			return layers[i].colour, true
		}
	}
	return color.NRGBA{}, false
}
