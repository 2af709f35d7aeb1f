package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// The picture's size, and the margin around the plot.
const (
	width, height = 720, 400
	left, bottom  = 64, 56
	right, top    = 24, 48
)

// point is a policy in the picture.
type point struct {
	name        string
	warm, share float64
}

// points are those of a table whose names have this before and after a number.
func (r *result) points(before, after string) []point {
	var all []point
	for _, l := range r.lines {
		name, ok := strings.CutPrefix(l.name, before)
		if name, fits := strings.CutSuffix(name, after); ok && fits {
			all = append(all, point{name, l.warm.Minutes(), l.share(75)})
		}
	}
	return all
}

// draw draws how many requests of the 75th percentile of functions found no
// instance, against the minutes that instances were there: lower and further
// left is better.
func (s *study) draw() []byte {
	fixed, learned := s.Main.points("", " min"), s.Settings.points("a second is worth ", " min")
	most := 0.0
	for _, p := range slices.Concat(fixed, learned) {
		most = max(most, p.warm)
	}
	most *= 1.05
	x := func(warm float64) float64 { return left + warm/most*(width-left-right) }
	y := func(share float64) float64 { return top + (1-share/100)*(height-top-bottom) }

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">`+"\n", width, height)
	fmt.Fprintln(&b, `<title>Cold starts against warm minutes</title>`)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for share := 0.0; share <= 100; share += 25 {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n", left, y(share), width-right, left-8, y(share)+4, share)
	}
	for warm := 0.0; warm <= most; warm += 50_000 {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(warm), height-bottom+18, count(int(warm)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">function-minutes with an instance</text>`+"\n", (left+width-right)/2, height-12)
	fmt.Fprintf(&b, `<text x="%d" y="20">requests that found no instance, 75th percentile of functions</text>`+"\n", left)
	for i, s := range []struct {
		name, colour   string
		points         []point
		right, further float64 // to a point's label
	}{
		{"the same for all: minutes", "#777", fixed, 10, -8},
		{"learned: minutes a second's wait is worth", "#06c", learned, -10, 14},
	} {
		fmt.Fprintf(&b, `<g fill="%s"><text x="%d" y="%d" text-anchor="end">%s</text><polyline fill="none" stroke="%s" stroke-width="2" points="`,
			s.colour, width-right, height-bottom-24+18*i, s.name, s.colour)
		for _, p := range s.points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(p.warm), y(p.share))
		}
		fmt.Fprint(&b, `"/>`)
		for _, p := range s.points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3.5"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`,
				x(p.warm), y(p.share), x(p.warm)+s.right, y(p.share)+s.further, p.name)
		}
		fmt.Fprintln(&b, "</g>")
	}
	fmt.Fprintln(&b, "</svg>")
	return b.Bytes()
}
