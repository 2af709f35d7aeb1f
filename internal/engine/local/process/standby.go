package process

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

// standbyEvery is the time between two usage samples of a process on standby, the same
// as that of an instance.
const standbyEvery = 50 * time.Second

// Names of the processes of the platform in its usage.
const (
	usageOfBlank  = "blank"
	usageOfZygote = "zygote"
)

// standbys are the processes on standby: all processes that are no instances. Each has
// an owner. Until a process gets a function, this is the platform; a process that is
// forked begins with the owner of its template.
type standbys struct {
	mu  sync.Mutex // guards all
	all map[*Process]*standby
}

// owner is the function to which the usage of a process counts; for the platform, only
// the name is set.
type owner struct {
	team       lateen.TeamID
	project    lateen.ProjectID
	deployment lateen.DeploymentID
	function   string
}

// platformOwner returns the platform as the owner of a process without a function.
func platformOwner(zygote bool) owner {
	if zygote {
		return owner{function: usageOfZygote}
	}
	return owner{function: usageOfBlank}
}

// standby is the state of a process on standby at its last sample.
type standby struct {
	owner  owner
	at     time.Time // on the monotonic clock
	until  time.Time // end of the sample on the clock of the host
	cpu    time.Duration
	memory int64 // bytes; 0: not measured yet
}

// take returns the usage since the last sample and begins the next one. Between two
// readings, the memory counts as changing evenly; a memory of 0 is unknown. clock is
// the time of the host's clock, which may have been set back or forward. It returns
// false if nothing was used.
func (s *standby) take(now, clock time.Time, cpu time.Duration, memory int64) (u lateen.UsageSample, ok bool) {
	took, used := max(0, now.Sub(s.at)), max(0, cpu-s.cpu)
	if took == 0 && used == 0 {
		return u, false
	}
	if memory == 0 {
		memory = s.memory
	}
	mean := float64(memory)
	if s.memory > 0 {
		mean = (mean + float64(s.memory)) / 2
	}
	from := clock.Round(0).Add(-took)
	if from.Before(s.until) {
		from = s.until
	}
	s.at, s.until, s.cpu, s.memory = s.at.Add(took), from.Add(took), s.cpu+used, memory
	return lateen.UsageSample{
		Team: s.owner.team, Project: s.owner.project, Deployment: s.owner.deployment, Function: s.owner.function,
		From: lateen.MillisOf(from), To: lateen.MillisOf(s.until),
		Usage: lateen.Usage{Standby: lateen.StateUsage{Time: took, Memory: int64(math.Round(mean * took.Seconds())), CPU: used}},
	}, true
}

// addStandby records the begin of a process.
func (h *Host) addStandby(w *Process, o owner) {
	if h.Usage == nil {
		return
	}
	h.standbys.mu.Lock()
	defer h.standbys.mu.Unlock()
	if h.standbys.all == nil {
		h.standbys.all = map[*Process]*standby{}
	}
	h.standbys.all[w] = &standby{owner: o, at: time.Now()}
}

// ownerOf returns the owner of a process on standby.
func (h *Host) ownerOf(w *Process) owner {
	h.standbys.mu.Lock()
	defer h.standbys.mu.Unlock()
	if s := h.standbys.all[w]; s != nil {
		return s.owner
	}
	return platformOwner(false)
}

// AssignStandby reports the usage of a process on standby so far, with the CPU time that
// it has used, and counts the further usage to a function.
func (h *Host) AssignStandby(w *Process, spec *lateen.FunctionSpec, cpu time.Duration) {
	h.sampleStandby(w, time.Now(), cpu, w.lastMemory(), func(s *standby) {
		s.owner = owner{spec.Team, spec.Project, spec.Deployment, spec.Name}
	})
}

// ClaimStandby reports the last usage of a process on standby, which becomes an
// instance: the start began at a time, and the process has used the CPU time.
func (h *Host) ClaimStandby(w *Process, began time.Time, cpu time.Duration) {
	now := time.Now()
	if !began.IsZero() && began.Before(now) {
		now = began // the usage of the instance has the time since then
	}
	h.sampleStandby(w, now, cpu, w.lastMemory(), nil)
}

// endStandby reports the last usage of a process that has ended, if it was on standby.
func (h *Host) endStandby(w *Process) {
	h.sampleStandby(w, time.Now(), w.State.CPU, w.held.Load(), nil)
}

// ReportStandbys reports the usage of the processes on standby periodically until ctx
// ends. The end of a process reports its last usage.
func (h *Host) ReportStandbys(ctx context.Context) {
	if h.Usage == nil {
		return
	}
	every := time.NewTicker(standbyEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
		h.SampleStandbys()
	}
}

// SampleStandbys reports the usage of the processes on standby so far.
func (h *Host) SampleStandbys() {
	h.standbys.mu.Lock()
	all := slices.Collect(maps.Keys(h.standbys.all))
	h.standbys.mu.Unlock()
	for _, w := range all {
		u, err := w.Sandboxed.Usage()
		if err != nil {
			continue // the process is ending
		}
		w.held.Store(u.Memory)
		h.sampleStandby(w, time.Now(), u.CPU, u.Memory, func(*standby) {})
	}
}

// lastMemory returns the last reading of the memory, or the first one.
func (w *Process) lastMemory() int64 {
	if held := w.held.Load(); held > 0 {
		return held // a reading costs a start time
	}
	return w.Memory()
}

// sampleStandby passes the usage of a process to the sink, if the process is on
// standby, and changes its state by next; nil ends the standby.
func (h *Host) sampleStandby(w *Process, now time.Time, cpu time.Duration, memory int64, next func(*standby)) {
	h.standbys.mu.Lock()
	s := h.standbys.all[w]
	if s == nil {
		h.standbys.mu.Unlock()
		return
	}
	sample, ok := s.take(now, now, cpu, memory)
	if next == nil {
		delete(h.standbys.all, w)
	} else {
		next(s)
	}
	h.standbys.mu.Unlock()
	if ok {
		h.Usage.AddUsage(sample)
	}
}
