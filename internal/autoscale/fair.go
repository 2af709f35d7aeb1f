package autoscale

// Holding is what a tenant has of something that is short.
type Holding struct {
	Has    int
	Weight float64 // 0 is 1
}

func (h Holding) after(more int) float64 {
	setDefault(&h.Weight, 1)
	return float64(h.Has+more) / h.Weight
}

// Less reports whether h is less than other, each by its weight.
func (h Holding) Less(other Holding) bool { return h.after(0) < other.after(0) }

// Spares reports whether h still is as much as other, each by its weight, once
// one has gone from h to other.
func (h Holding) Spares(other Holding) bool { return h.after(-1) >= other.after(1) }

// Yield says which tenant gives up one of what it has for the one that needs
// it: the one that has most by its weight, if it still has as much as the other
// then. So everyone gets to the same, nobody below it for another's sake, and
// nothing goes back and forth.
//
//	16 and 0: the first yields, until it is 8 and 8
//	 1 and 0: nobody does
func Yield(holdings []Holding, needy int) (from int, ok bool) {
	from = -1
	for i, h := range holdings {
		if i != needy && h.Has > 0 && (from < 0 || holdings[from].Less(h)) {
			from = i
		}
	}
	return from, from >= 0 && holdings[from].Spares(holdings[needy])
}

// Processors is what processor time there is and who uses it, in processors.
type Processors struct {
	Total float64
	Used  float64 // by all requests that are under way, as far as is known
	Own   float64 // of that, by the tenant's
	Part  float64 // of the total, that is the tenant's by its weight; 0 is all
}

// overcommit is how many requests of pure computation are let at one
// processor: one runs, one is ready to.
const overcommit = 2

// Admit reports whether a tenant's request that uses so much may begin: if
// there is processor time left, or if the tenant has less than its part, or
// nothing.
func (p Processors) Admit(need float64) bool {
	if !(need > 0) || p.Own <= 0 {
		return true
	}
	setDefault(&p.Part, 1)
	most := p.Total * overcommit
	return p.Used+need <= most || p.Own+need <= most*p.Part
}
