package lateen

// Finding is something about a host that matters to a platform on it.
type Finding struct {
	Name    string  `json:"name"`
	Purpose string  `json:"purpose"`          // of a wall: what it keeps functions from; else what it is good for
	Verdict Verdict `json:"verdict"`          // whether it is as it should be
	Detail  string  `json:"detail,omitempty"` // what was found, or why it is missing
	Remedy  string  `json:"remedy,omitempty"` // what to do about it; "" where there is nothing to do, or nothing is known
}

// Verdict says how good a finding is.
type Verdict string

// The verdicts.
const (
	Fit     Verdict = "fit"     // as it should be
	Lacking Verdict = "lacking" // it works, but less well or less safely than it could
	Unfit   Verdict = "unfit"   // not without danger, or not at all
)

// Examination is what was found on a host.
type Examination struct {
	Walls []Finding `json:"walls"` // around functions
	Host  []Finding `json:"host"`  // all else that a platform needs
}

// Unfit counts the findings that keep a platform from running there as it should.
func (x Examination) Unfit() int {
	n := 0
	for _, of := range [][]Finding{x.Walls, x.Host} {
		for _, f := range of {
			if f.Verdict == Unfit {
				n++
			}
		}
	}
	return n
}
