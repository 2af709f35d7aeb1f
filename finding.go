package lateen

// Finding is the result of one check of a host.
type Finding struct {
	Name    string  `json:"name"`
	Purpose string  `json:"purpose"`          // actions that a sandbox layer prevents, or use of another part
	Verdict Verdict `json:"verdict"`          // result of the check
	Detail  string  `json:"detail,omitempty"` // state that was found, or the reason of its absence
	Remedy  string  `json:"remedy,omitempty"` // step that fixes it; "" if none is needed or known
}

// Verdict is the result of a check.
type Verdict string

// The verdicts.
const (
	Fit     Verdict = "fit"     // the check passed
	Lacking Verdict = "lacking" // the platform works, with less performance or safety
	Unfit   Verdict = "unfit"   // the platform does not work, or is unsafe
)

// Examination is the result of all checks of a host.
type Examination struct {
	Layers []Finding `json:"layers"` // layers of the sandbox
	Host   []Finding `json:"host"`   // other requirements of the platform
}

// Unfit counts the findings with the verdict [Unfit].
func (x Examination) Unfit() int {
	n := 0
	for _, of := range [][]Finding{x.Layers, x.Host} {
		for _, f := range of {
			if f.Verdict == Unfit {
				n++
			}
		}
	}
	return n
}

// Scrub is the result of reading every artifact of a data directory.
type Scrub struct {
	Artifacts int64    `json:"artifacts"` // artifacts that were read
	Bytes     int64    `json:"bytes"`     // bytes of their content
	Damaged   []Damage `json:"damaged"`   // damaged artifacts by digest; empty, not null, if there are none
}

// Damage is an artifact that cannot be used.
type Damage struct {
	Digest      Digest         `json:"digest"`
	Detail      string         `json:"detail"`      // description of the damage
	File        string         `json:"file"`        // path of the artifact's file
	Deployments []DamageVictim `json:"deployments"` // deployments that need the artifact, by id; empty if none does
}

// DamageVictim is a deployment that needs a damaged artifact.
type DamageVictim struct {
	ID      DeploymentID `json:"id"`
	Project string       `json:"project"` // name of the project at the time of the deployment
	Hosts   []string     `json:"hosts"`   // hosts that lead to the deployment, sorted; empty unless it is READY
}

// Backup describes a copy of a data directory.
type Backup struct {
	Artifacts int64    `json:"artifacts"` // artifacts that were copied
	Bytes     int64    `json:"bytes"`     // bytes of their content
	Damaged   []Digest `json:"damaged"`   // damaged artifacts, as far as the copy reads them, which are not copied; empty, not null, if there are none
}
