package cache

import "context"

// enlistLocked begins a flight for each member of f's group that is not being made,
// as far as the tenant may have more. [flights].mu is held.
func (f *Flight) enlistLocked() {
	fs := f.c.flights
	for _, m := range f.how.Group {
		if fs.byKey[m.Key] != nil {
			continue
		}
		how := Making{Make: m.Make, Client: f.how.Client}
		if !fs.all.Take(1, how.sharers(m.Key.Tenant)...) {
			continue
		}
		g := f.c.newFlight(f.scope, m.Key, how)
		g.first, g.began = f, f.began // what was invalidated since may be in it
		g.asked, f.askers = map[*Flight]struct{}{f: {}}, map[*Flight]struct{}{g: {}}
		g.Leave()
		fs.byKey[m.Key] = g
		f.group = append(f.group, g)
	}
}

// flyGroup makes the entries of f's group, if f's own was kept: they come of the same
// making. Else requests that wait for them get the outcome of f.
func (f *Flight) flyGroup(ctx context.Context) {
	switch {
	case f.err != nil:
		f.disband(f.err)
	case !f.kept:
		f.disband(ErrOnce)
	}
	for _, g := range f.group {
		g.fly(ctx)
		g.spool.release()
	}
}

// disband ends the flights of f's group with err.
func (f *Flight) disband(err error) {
	for _, g := range f.group {
		g.settle(nil, err, false)
		g.spool.release()
	}
	f.group = nil
}
