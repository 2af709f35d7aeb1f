package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen/test/bench/proc"
)

const (
	quietIdle   = 0.94                   // of all processors: few enough others at work
	quietWindow = 250 * time.Millisecond // that it is looked at
	quietBudget = 90 * time.Second       // of a whole run
)

// machine monitors the load that other processes cause.
type machine struct {
	idleWait time.Duration // of one batch
	left     time.Duration // of the run's budget for waiting
	moments  []moment      // before each batch of this chapter
}

// moment is the activity of a machine in a window of time.
type moment struct {
	idle, steal float64 // shares of all processors
	load        float64 // average of the last minute
	quiet       bool    // idle enough to measure
}

func newMachine(idleWait time.Duration) *machine {
	return &machine{idleWait: idleWait, left: quietBudget}
}

// span is a chapter's begin, and at its end the state of the machine.
type span struct {
	moments []moment
	steal   float64 // share over all of it
}

func (m *machine) begin() ticks {
	m.moments = nil
	return readTicks()
}

func (m *machine) end(began ticks) span {
	now := readTicks()
	return span{moments: m.moments, steal: now.sub(began).share(now.steal - began.steal)}
}

// quiet waits until the machine idles, as long as idleWait and the budget last, and
// records its state.
func (m *machine) quiet(ctx context.Context) error {
	limit := min(m.idleWait, m.left)
	for began := time.Now(); ; {
		now, err := look(ctx)
		if err != nil {
			return err
		}
		waited := time.Since(began)
		if now.quiet || waited >= limit {
			m.left = max(0, m.left-max(0, waited-quietWindow))
			m.moments = append(m.moments, now)
			return nil
		}
	}
}

// look watches the machine for a window.
func look(ctx context.Context) (moment, error) {
	before := readTicks()
	if err := pause(ctx, quietWindow); err != nil {
		return moment{}, err
	}
	after := readTicks()
	spent := after.sub(before)
	now := moment{idle: spent.share(spent.idle), steal: spent.share(spent.steal), load: readLoad()}
	now.quiet = now.idle >= quietIdle
	return now, nil
}

// String is a chapter's state in a sentence.
func (s span) String() string {
	if len(s.moments) == 0 {
		return fmt.Sprintf("Steal during all of it: %.1f %%.", 100*s.steal)
	}
	var idles, loads, steals []float64
	noisy := 0
	for _, m := range s.moments {
		idles, loads, steals = append(idles, m.idle), append(loads, m.load), append(steals, m.steal)
		if !m.quiet {
			noisy++
		}
	}
	return fmt.Sprintf("The machine before each of %d batches: idle %.0f %% in the median, %.0f %% at least, %d batches began below %.0f %%; load average %.1f to %.1f; steal %.1f %% at most. Steal during all of it: %.1f %%.",
		len(s.moments), 100*median(idles), 100*least(idles), noisy, 100*quietIdle, least(loads), most(loads), 100*most(steals), 100*s.steal)
}

// ticks are processor times since boot, in clock ticks.
type ticks struct{ all, idle, steal float64 }

func (t ticks) sub(o ticks) ticks { return ticks{t.all - o.all, t.idle - o.idle, t.steal - o.steal} }

func (t ticks) share(of float64) float64 {
	if t.all <= 0 {
		return 0
	}
	return of / t.all
}

// readTicks reads the first line of /proc/stat: user nice system idle iowait
// irq softirq steal.
func readTicks() (t ticks) {
	line, _, _ := strings.Cut(proc.Text("/proc/stat"), "\n")
	for i, field := range strings.Fields(line) {
		if i == 0 || i > 8 {
			continue // the line's name; guest time is part of user time already
		}
		n, _ := strconv.ParseFloat(field, 64)
		t.all += n
		switch i {
		case 4, 5:
			t.idle += n
		case 8:
			t.steal = n
		}
	}
	return t
}

func readLoad() float64 {
	first, _, _ := strings.Cut(proc.Text("/proc/loadavg"), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
