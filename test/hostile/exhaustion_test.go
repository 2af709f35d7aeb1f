//go:build linux && e2e

package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	mostTasks = 512  // processes and threads of an instance
	mostFiles = 4096 // open at once, of a process
	mostTmp   = 512  // MiB in /tmp
)

// died fails the test unless an exchange failed as one of a function that was
// ended for its use of memory, and the instance is gone.
func (f *function) died(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, lateen.ErrFunctionFailed) || !strings.Contains(err.Error(), "memory") {
		t.Errorf("the error is %v, want that it had too much memory", err)
	}
	f.gone(t)
}

// memory checks the limit on every kind of memory: a heap, buffers, files in /tmp
// and /dev/shm.
func (p *platform) memory(t *testing.T) {
	for _, kind := range []string{"/heap", "/buffers"} {
		t.Run(kind, func(t *testing.T) {
			f := p.small(t, "memory.cjs")
			_, err := f.try(t.Context(), kind)
			f.died(t, err)
		})
	}
	t.Run("of a child", func(t *testing.T) {
		p.childMemory(t)
	})
	for _, kind := range []string{"/tmp", "/dev/shm"} {
		t.Run(kind, func(t *testing.T) {
			f := p.small(t, "memory.cjs")
			body, err := f.try(t.Context(), kind)
			var wrote int
			if n, scanErr := fmt.Sscanf(body, "ENOSPC %d", &wrote); err == nil && n == 1 && scanErr == nil && wrote <= mostTmp {
				f.end()
				return // the size of the file system came first
			}
			f.died(t, err)
		})
	}
}

// childMemory is memory of the processes that a function has started.
func (p *platform) childMemory(t *testing.T) {
	f := p.sail(t, little)
	if body, err := f.try(t.Context(), target("/", "memory", "400")); err == nil || errors.Is(err, errWaitLimit) {
		t.Errorf("it took it all: %s, %v", body, err) // and holds it, so that there is time to see that
	}
}

// bombs takes memory in the function's own process.
func (p *platform) bombs(t *testing.T) {
	if p.vessel.bomb == "" {
		f := p.start(t, "hostile", "memory.cjs", func(s *lateen.FunctionSpec) {
			s.Function.Runtime = p.vessel.runtime
			little(s)
		})
		_, err := f.try(t.Context(), "/buffers")
		f.died(t, err)
		return
	}
	f := p.sail(t, little)
	_, err := f.try(t.Context(), p.vessel.bomb)
	f.died(t, err)
}

// hiddenMemory is in files without a name and segments without a process, which
// only a bound of the kernel's counts.
func (p *platform) hiddenMemory(t *testing.T) {
	for _, kind := range []string{"memfd", "sysv"} {
		t.Run(kind, func(t *testing.T) {
			f := p.small(t, "attacker.cjs")
			if body, err := f.try(t.Context(), target("/", kind, "400")); err == nil && strings.Contains(body, `"done"`) {
				t.Errorf("it took it all: %s", body)
			}
		})
	}
}

// disk is not there to be filled, but for memory with a bound.
func (p *platform) disk(t *testing.T) {
	f := p.hostile(t, "attacker.cjs")
	f.attempts(t, target("/", "fill", "600")).want(t, "nothing else can be written to", map[string]string{
		"/tmp": `ENOSPC after \d{3}`, "/dev/shm": `ENOSPC after \d+`,
	})
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		got := f.attempts(t, target("/", "inodes", dir, "70000"))
		if made, err := strconv.Atoi(got["made"]); err != nil || made > 1<<16+1 || got["last error"] != "ENOSPC" {
			t.Errorf("in %s it made files: %v", dir, got)
		}
	}
	f.end()
}

// openFiles are bounded, per process; all of them go with it.
func (p *platform) openFiles(t *testing.T) {
	got := p.attack(t, "files", "100000")
	if opened, err := strconv.Atoi(got["opened"]); err != nil || opened > mostFiles || got["last error"] != "EMFILE" {
		t.Errorf("it opened %v", got)
	}
}

// threads checks the limit on threads.
func (p *platform) threads(t *testing.T) {
	f := p.small(t, "threads.cjs")
	body, err := f.try(t.Context(), "/")
	t.Logf("%s, %v", body, err) // that it dies of it is its own affair
	f.end()
	f.gone(t)
}

// forks end where the bound is, and all of them end with the instance.
func (p *platform) forks(t *testing.T) {
	name := "hostile-forks-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	at := target("/", "forks", name)
	if p.vessel.forks != "" {
		at = target(p.vessel.forks, name)
	}
	f := p.sail(t, func(s *lateen.FunctionSpec) { s.Function.Memory = 4096 }) // so that it is their number which is too large
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	said := make(chan string, 1)
	go func() {
		body, err := f.try(ctx, at)
		said <- fmt.Sprint(body, err)
	}()
	most := 0
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var some time.Time // since when there are some
	for ctx.Err() == nil && !closed(f.Done()) && (some.IsZero() || time.Since(some) < time.Second) {
		<-tick.C
		if most = max(most, len(named(name))); most >= 10 && some.IsZero() {
			some = time.Now()
		}
	}
	cancel()
	if most < 10 || most > mostTasks {
		t.Errorf("there were up to %d processes", most)
	}
	t.Logf("up to %d processes: %s", most, <-said)
	f.end()
	f.gone(t)
	until(t, "all forks are gone", func() bool { return len(named(name)) == 0 })
}

// busy checks that loops leave others their CPU time, and end when they are stopped.
func (p *platform) busy(t *testing.T) {
	loop := p.hostile(t, "busy.cjs")
	threads := p.hostile(t, "busy.cjs")
	if got := threads.get(t, "/threads"); got != "busy" {
		t.Fatal(got)
	}
	p.meanwhile(t, func(ctx context.Context) {
		if _, err := loop.try(ctx, "/"); !errors.Is(err, lateen.ErrFunctionTimeout) {
			t.Errorf("the error is %v, want that its time is over", err)
		}
	})
	loop.end()
	threads.end()
	loop.gone(t)
	threads.gone(t)
}

// survivors are left behind by a function: they end with the instance, and
// with its death.
func (p *platform) survivors(t *testing.T) {
	for _, how := range []string{"stopped", "dies"} {
		t.Run("of one that "+how, func(t *testing.T) {
			name := "hostile-survivor-" + strconv.FormatInt(time.Now().UnixNano(), 36)
			f := p.hostile(t, "attacker.cjs")
			f.attempts(t, target("/", "daemon", name)).want(t, "done", nil)
			until(t, "it is there", func() bool { return len(named(name)) == 1 })
			if how == "dies" {
				if _, err := f.try(t.Context(), target("/", "orphan")); !errors.Is(err, lateen.ErrFunctionFailed) {
					t.Errorf("the error is %v", err)
				}
			}
			f.end()
			f.gone(t)
			until(t, "it is gone", func() bool { return len(named(name)) == 0 })
		})
	}
}

// loading hostile code fails, at the latest once no request waits for it.
func (p *platform) loading(t *testing.T) {
	var all sync.WaitGroup
	for _, how := range []string{"loop", "wait", "exit", "kill", "stop", "control", "memory", "deep"} {
		all.Go(func() { p.load(t, how) })
	}
	all.Wait()
}

// load loads code that does its harm in that way, until a moment after it has
// begun to.
func (p *platform) load(t *testing.T, how string) {
	name := "hostile-load-" + how + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		i, err := p.begin(ctx, "hostile", "load.cjs", func(s *lateen.FunctionSpec) {
			little(s)
			s.Env = map[string]string{"HOW": how, "NAME": name}
		})
		if err == nil {
			(&function{i, p}).end()
			t.Errorf("%s: it was started", how)
		}
	}()
	comes(t, how+": it is at it", func() bool { return len(named(name)) > 0 || closed(failed) })
	time.AfterFunc(time.Second, cancel)
	comes(t, how+": it is no longer waited for", func() bool { return closed(failed) })
	comes(t, how+": what it has started is gone", func() bool { return len(named(name)) == 0 })
}
