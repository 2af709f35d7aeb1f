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

// Scrub is what reading every artefact of a data directory found.
type Scrub struct {
	Artifacts int64    `json:"artifacts"` // artefacts that were read
	Bytes     int64    `json:"bytes"`     // of their content
	Damaged   []Damage `json:"damaged"`   // by digest; empty, not null, where there are none
}

// Damage is an artefact that cannot be used.
type Damage struct {
	Digest      Digest         `json:"digest"`
	Detail      string         `json:"detail"`      // what is wrong with it
	File        string         `json:"file"`        // where its content belongs
	Deployments []DamageVictim `json:"deployments"` // that need it, by id; empty where no deployment does
}

// DamageVictim is a deployment that needs a damaged artefact.
type DamageVictim struct {
	ID      DeploymentID `json:"id"`
	Project string       `json:"project"` // its name, when it was deployed
	Hosts   []string     `json:"hosts"`   // that lead to the deployment, sorted; empty unless it is READY
}

// Backup is what a copy of a data directory has.
type Backup struct {
	Artifacts int64    `json:"artifacts"` // artefacts that were copied
	Bytes     int64    `json:"bytes"`     // of their content
	Damaged   []Digest `json:"damaged"`   // artefacts that were not copied, as far as the copy reads them; empty, not null, where there are none
}
