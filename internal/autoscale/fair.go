package autoscale

// Holding is a tenant's part of a scarce resource.
type Holding struct {
	Has    int
	Weight float64 // 0 is 1
}

func (h Holding) after(more int) float64 {
	setDefault(&h.Weight, 1)
	return float64(h.Has+more) / h.Weight
}

// Less reports whether h is less than other, each divided by its weight.
func (h Holding) Less(other Holding) bool { return h.after(0) < other.after(0) }

// Spares reports whether h is still at least as much as other after one unit has
// moved from h to other, each divided by its weight.
func (h Holding) Spares(other Holding) bool { return h.after(-1) >= other.after(1) }

// Yield selects the tenant that gives up one unit for the needy one: the tenant with
// the most by its weight, if that then still has as much as the needy one. So all
// tenants approach the same amount, no tenant falls below it for another, and no
// unit moves back and forth.
//
//	16 and 0: the first yields, until it is 8 and 8
//	 1 and 0: none yields
func Yield(holdings []Holding, needy int) (from int, ok bool) {
	from = -1
	for i, h := range holdings {
		if i != needy && h.Has > 0 && (from < 0 || holdings[from].Less(h)) {
			from = i
		}
	}
	return from, from >= 0 && holdings[from].Spares(holdings[needy])
}

// Processors describes the use of the CPUs, in CPUs.
type Processors struct {
	Total float64
	Used  float64 // expected use of all requests in flight
	Own   float64 // the tenant's part of Used
	Part  float64 // the tenant's share of Total by its weight, as a fraction; 0 is all
}

// overcommit is the number of compute-bound requests that are admitted per CPU: one
// runs, one is ready to run.
const overcommit = 2

// Admit reports whether a tenant's request that uses need CPUs may begin: if CPU
// time is left, or if the tenant uses less than its share or nothing.
func (p Processors) Admit(need float64) bool {
	if !(need > 0) || p.Own <= 0 {
		return true
	}
	setDefault(&p.Part, 1)
	most := p.Total * overcommit
	return p.Used+need <= most || p.Own+need <= most*p.Part
}
