package cache

// serve notes that within, if it is not nil, waits for f, which then waits for no
// place: that of within is taken until f is made. [flights].mu is held.
func (f *Flight) serve(within *Flight) {
	if within == nil {
		return
	}
	if within.asked == nil {
		within.asked = map[*Flight]struct{}{}
	}
	if f.askers == nil {
		f.askers = map[*Flight]struct{}{}
	}
	within.asked[f], f.askers[within] = struct{}{}, struct{}{}
	f.hurry.Do(func() { close(f.urgent) })
	if first := f.first; first != nil {
		first.hurry.Do(func() { close(first.urgent) })
	}
}

// unbind ends what f and other flights have to do with each other. A making that
// asks for one page after the other holds none of them that is made.
// [flights].mu is held.
func (f *Flight) unbind() {
	for asker := range f.askers {
		delete(asker.asked, f)
	}
	for asked := range f.asked {
		delete(asked.askers, f)
	}
	f.askers, f.asked = nil, nil
}

// awaits reports whether f is, or waits for, another flight, by way of any others.
// nil is none. [flights].mu is held.
func (f *Flight) awaits(other *Flight) bool {
	if other == nil {
		return false
	}
	seen := map[*Flight]bool{f: true}
	for next := []*Flight{f}; len(next) > 0; next = next[1:] {
		if next[0] == other {
			return true
		}
		for asked := range next[0].asked {
			if !seen[asked] {
				seen[asked] = true
				next = append(next, asked)
			}
		}
	}
	return false
}
