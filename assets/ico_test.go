package assets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
)

// encodeICO writes 32-bit bitmaps, not PNG: every Windows and every loader reads those at any size.
func encodeICO(images []*image.NRGBA) []byte {
	le := binary.LittleEndian
	directory := le.AppendUint16(nil, 0)
	directory = le.AppendUint16(directory, 1) // an icon
	directory = le.AppendUint16(directory, uint16(len(images)))
	var bodies []byte
	offset := 6 + 16*len(images)
	for _, img := range images {
		body := encodeBitmap(img)
		size := img.Rect.Dx()
		directory = append(directory, byte(size), byte(size), 0, 0)
		directory = le.AppendUint16(directory, 1)  // planes
		directory = le.AppendUint16(directory, 32) // bits
		directory = le.AppendUint32(directory, uint32(len(body)))
		directory = le.AppendUint32(directory, uint32(offset+len(bodies)))
		bodies = append(bodies, body...)
	}
	return append(directory, bodies...)
}

// encodeBitmap writes a bitmap as icons have it: its height counts the mask too, rows run upwards, no file header.
func encodeBitmap(img *image.NRGBA) []byte {
	le := binary.LittleEndian
	size := img.Rect.Dx()
	b := le.AppendUint32(nil, 40)
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(2*size))
	b = le.AppendUint16(b, 1)
	b = le.AppendUint16(b, 32)
	b = append(b, make([]byte, 24)...) // not compressed, no palette
	for y := size - 1; y >= 0; y-- {
		for x := range size {
			c := img.NRGBAAt(x, y)
			b = append(b, c.B, c.G, c.R, c.A)
		}
	}
	row := (size + 31) / 32 * 4 // a bit a pixel, in words; loaders without alpha look here
	for y := size - 1; y >= 0; y-- {
		mask := make([]byte, row)
		for x := range size {
			if img.NRGBAAt(x, y).A < 128 {
				mask[x/8] |= 0x80 >> (x % 8)
			}
		}
		b = append(b, mask...)
	}
	return b
}

// decodeICO reads what a loader of icons would, and trusts nothing that encodeICO says of itself.
func decodeICO(b []byte) ([]*image.NRGBA, error) {
	le := binary.LittleEndian
	if len(b) < 6 || !bytes.Equal(b[:4], []byte{0, 0, 1, 0}) {
		return nil, fmt.Errorf("not an icon")
	}
	var images []*image.NRGBA
	for i := range int(le.Uint16(b[4:])) {
		entry := b[6+16*i:]
		size, length, offset := int(entry[0]), int(le.Uint32(entry[8:])), int(le.Uint32(entry[12:]))
		if offset+length > len(b) {
			return nil, fmt.Errorf("image %d ends beyond the file", i)
		}
		body := b[offset : offset+length]
		pixels, mask := 40+4*size*size, size*((size+31)/32*4)
		if len(body) != pixels+mask || le.Uint32(body) != 40 || int(le.Uint32(body[4:])) != size ||
			int(le.Uint32(body[8:])) != 2*size || le.Uint16(body[14:]) != 32 || entry[1] != entry[0] || le.Uint16(entry[6:]) != 32 {
			return nil, fmt.Errorf("image %d of %d pixels has a wrong header or length", i, size)
		}
		img := image.NewNRGBA(image.Rect(0, 0, size, size))
		for p := range size * size {
			q := body[40+4*p:]
			img.SetNRGBA(p%size, size-1-p/size, color.NRGBA{q[2], q[1], q[0], q[3]})
		}
		images = append(images, img)
	}
	return images, nil
}
