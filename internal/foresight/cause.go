package foresight

import (
	"slices"
	"time"
)

const (
	maxCauses  = 256                   // of one project
	maxEffects = 8                     // of one cause
	maxLikely  = 3                     // functions that are named at once
	fade       = 64                    // times that count: what was before counts half
	pause      = 20 * time.Millisecond // in which a cause names nothing again
)

// cause is something after which functions are called.
type cause struct {
	last    time.Time // it happened
	told    time.Time // its effects were named
	times   int       // it happened, faded
	effects []effect
}

// effect is a function that is called after a cause.
type effect struct {
	function string
	times    int
}

// happened counts the cause, and what it led to at once; "" is nothing.
func (c *cause) happened(functions ...string) {
	if c.times++; c.times > fade {
		c.times /= 2
		for i := range c.effects {
			c.effects[i].times /= 2
		}
	}
	for _, function := range functions {
		if function != "" {
			c.led(function)
		}
	}
}

// led counts that the cause led to function. Where there are too many, the
// rarest makes room.
func (c *cause) led(function string) {
	rarest := -1
	for i := range c.effects {
		if c.effects[i].function == function {
			c.effects[i].times++
			return
		}
		if rarest < 0 || c.effects[i].times < c.effects[rarest].times {
			rarest = i
		}
	}
	if len(c.effects) < maxEffects {
		c.effects = append(c.effects, effect{function, 1})
		return
	}
	c.effects[rarest] = effect{function, 1}
}

// likely are the functions that the cause led to in two of five times, and at
// least twice; the likeliest first.
func (c *cause) likely() []string {
	var often []effect
	for _, e := range c.effects {
		if e.times >= 2 && 5*e.times >= 2*c.times {
			often = append(often, e)
		}
	}
	slices.SortStableFunc(often, func(a, b effect) int { return b.times - a.times })
	var names []string
	for _, e := range often[:min(len(often), maxLikely)] {
		names = append(names, e.function)
	}
	return names
}

// makeRoom removes one of m where it is full: the one with the least age of
// some that chance chooses.
func makeRoom[K comparable, V any](m map[K]V, most int, age func(V) int64) {
	if len(m) < most {
		return
	}
	const tried = 8
	var oldest K
	least, n := int64(0), 0
	for key, value := range m {
		if at := age(value); n == 0 || at < least {
			oldest, least = key, at
		}
		if n++; n == tried {
			break
		}
	}
	delete(m, oldest)
}
