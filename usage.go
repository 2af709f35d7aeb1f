package lateen

import "time"

// UsageSample is the resources that one instance, or one process on standby, held and
// used in an interval. The intervals of an instance do not overlap. Their durations come from the monotonic
// clock: a change of the host's clock makes no interval longer, shorter or negative.
// If the clock was set back, the intervals of an instance continue from the end of
// its last one.
type UsageSample struct {
	Usage

	Team       TeamID       `json:"teamId"`
	Project    ProjectID    `json:"projectId"`
	Deployment DeploymentID `json:"deploymentId"`
	Function   string       `json:"function"` // name in the manifest
	Instance   InstanceID   `json:"instance"` // "" for a start that failed and for a process on standby
	Serial     int64        `json:"serial"`   // 1 for the first sample of Instance, 2 for the next one; 0 without an instance
	From       Millis       `json:"from"`
	To         Millis       `json:"to"`
}

// Usage is the resources that instances held and used, by the state of the instance
// at each moment, and those of processes on standby.
type Usage struct {
	Starting StateUsage `json:"starting"` // from the beginning of the start until the code is loaded
	Busy     StateUsage `json:"busy"`     // with at least one request in flight
	Idle     StateUsage `json:"idle"`     // without requests and not frozen
	Frozen   StateUsage `json:"frozen"`   // without requests and stopped by the freezer
	Failed   StateUsage `json:"failed"`   // from the beginning of a start until its failure; the memory and the CPU time are unknown and 0
	Standby  StateUsage `json:"standby"`  // of processes that make starts faster and are no instances: templates, their standbys, training runs and compilations
}

// StateUsage is the resources that instances held and used in one state.
type StateUsage struct {
	Time   time.Duration `json:"time"`   // time in the state, ns; the sum of all instances
	Memory int64         `json:"memory"` // memory held, byte-seconds; the sum of a project stays below 2^63
	CPU    time.Duration `json:"cpu"`    // processor time, ns
}

// States returns the usage in each state, in the order of the fields.
func (u *Usage) States() [6]*StateUsage {
	return [6]*StateUsage{&u.Starting, &u.Busy, &u.Idle, &u.Frozen, &u.Failed, &u.Standby}
}

// Add adds other to u.
func (u *Usage) Add(other Usage) {
	sums := u.States()
	for i, more := range other.States() {
		sums[i].Time += more.Time
		sums[i].Memory += more.Memory
		sums[i].CPU += more.CPU
	}
}

// Total returns the sum of all states.
func (u *Usage) Total() (sum StateUsage) {
	for _, state := range u.States() {
		sum.Time += state.Time
		sum.Memory += state.Memory
		sum.CPU += state.CPU
	}
	return sum
}

// UsageHour is the usage of one function of one deployment in one hour. Function and
// Deployment are "" for the usage of a project that could not be stored by function;
// see the package internal/meter. Team and Project are "" for the usage of the
// platform itself, and Function is then a kind of process.
type UsageHour struct {
	Usage

	Team       TeamID       `json:"teamId"`
	Project    ProjectID    `json:"projectId"`
	Deployment DeploymentID `json:"deploymentId,omitempty"`
	Function   string       `json:"function,omitempty"` // name in the manifest
	Hour       Millis       `json:"hour"`               // beginning of the hour, in UTC
}

// hour is the length of the hour of a [UsageHour] in milliseconds.
const hour = Millis(time.Hour / time.Millisecond)

// Hours divides s at the beginnings of hours. Each part has the share of its time in
// every value, and the parts add up to s.
func (s *UsageSample) Hours() []UsageHour {
	part := UsageHour{Team: s.Team, Project: s.Project, Deployment: s.Deployment, Function: s.Function}
	var parts []UsageHour
	rest, from := s.Usage, s.From
	for {
		part.Hour = from - from%hour
		next := part.Hour + hour
		if next >= s.To {
			part.Usage = rest
			return append(parts, part)
		}
		part.Usage = rest.cut(float64(next-from) / float64(s.To-from))
		parts, from = append(parts, part), next
	}
}

// cut takes a fraction of every value out of u.
func (u *Usage) cut(fraction float64) (out Usage) {
	taken := out.States()
	for i, left := range u.States() {
		*taken[i] = StateUsage{
			Time:   time.Duration(float64(left.Time) * fraction),
			Memory: int64(float64(left.Memory) * fraction),
			CPU:    time.Duration(float64(left.CPU) * fraction),
		}
		left.Time -= taken[i].Time
		left.Memory -= taken[i].Memory
		left.CPU -= taken[i].CPU
	}
	return out
}
