package cache

import "context"

// startGroupLocked starts a flight for each member of f's group that has no flight yet,
// within the tenant's share. [flights].mu is held.
func (f *Flight) startGroupLocked() {
	fs := f.fs
	for _, m := range f.fill.Group {
		if fs.byKey[m.Key] != nil {
			continue
		}
		how := Fill{Generate: m.Generate, Client: f.fill.Client}
		if !fs.all.Take(1, how.shareOwners(m.Key.Tenant)...) {
			continue
		}
		g := f.fs.newFlight(f.scope, m.Key, how)
		g.first, g.began = f, f.began // data that was invalidated since may be in it
		g.waitsFor, f.waitedBy = map[*Flight]struct{}{f: {}}, map[*Flight]struct{}{g: {}}
		g.Leave()
		fs.byKey[m.Key] = g
		f.group = append(f.group, g)
	}
}

// runGroup fills the entries of f's group from the same run if f's entry was stored.
// Otherwise the requests that wait for them get the error of f.
func (f *Flight) runGroup(ctx context.Context) {
	switch {
	case f.err != nil:
		f.failGroup(f.err)
	case !f.stored:
		f.failGroup(ErrNotReusable)
	}
	for _, g := range f.group {
		g.run(ctx)
		g.spool.release()
	}
}

// failGroup ends the flights of f's group with err.
func (f *Flight) failGroup(err error) {
	for _, g := range f.group {
		g.end(nil, err, false)
		g.spool.release()
	}
	f.group = nil
}
