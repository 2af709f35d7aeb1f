package predict

import (
	"slices"
	"time"
)

const (
	maxCauses   = 256                   // causes of one project
	maxEffects  = 8                     // effects of one cause
	maxLikely   = 3                     // functions in one prediction
	maxCount    = 64                    // maximum count of a cause; older occurrences then count half
	minInterval = 20 * time.Millisecond // minimum time between predictions from one cause
)

// cause is an event after which functions are called.
type cause struct {
	last      time.Time // time of the last occurrence
	predicted time.Time // time of the last prediction
	times     int       // number of occurrences, decayed
	effects   []effect
}

// effect is a function that is called after a cause.
type effect struct {
	function string
	times    int
}

// count counts an occurrence of the cause, and the functions that it led to at
// once; "" is none.
func (c *cause) count(functions ...string) {
	if c.times++; c.times > maxCount {
		c.times /= 2
		for i := range c.effects {
			c.effects[i].times /= 2
		}
	}
	for _, function := range functions {
		if function != "" {
			c.countEffect(function)
		}
	}
}

// countEffect counts that the cause led to function. If there are too many effects,
// function replaces the rarest.
func (c *cause) countEffect(function string) {
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

// likely returns the functions that followed at least 40 % of the occurrences, and
// at least twice; the likeliest first.
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

// evictOldest removes one element of m if m is full: the one with the least age value
// among a few random ones.
func evictOldest[K comparable, V any](m map[K]V, most int, age func(V) int64) {
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
