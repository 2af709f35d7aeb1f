package cache

// addWait records that within, if it is not nil, waits for f. f then needs no place:
// it runs in the place of within. [flights].mu is held.
func (f *Flight) addWait(within *Flight) {
	if within == nil {
		return
	}
	if within.waitsFor == nil {
		within.waitsFor = map[*Flight]struct{}{}
	}
	if f.waitedBy == nil {
		f.waitedBy = map[*Flight]struct{}{}
	}
	within.waitsFor[f], f.waitedBy[within] = struct{}{}, struct{}{}
	f.urgentOnce.Do(func() { close(f.urgent) })
	if first := f.first; first != nil {
		first.urgentOnce.Do(func() { close(first.urgent) })
	}
}

// removeWaits removes all waits between f and other flights, so that a function that
// requests one page after the other holds no finished flights. [flights].mu is held.
func (f *Flight) removeWaits() {
	for waiting := range f.waitedBy {
		delete(waiting.waitsFor, f)
	}
	for awaited := range f.waitsFor {
		delete(awaited.waitedBy, f)
	}
	f.waitedBy, f.waitsFor = nil, nil
}

// isOrWaitsFor reports whether f is other, or waits for it directly or through further
// flights. nil is no flight. [flights].mu is held.
func (f *Flight) isOrWaitsFor(other *Flight) bool {
	if other == nil {
		return false
	}
	seen := map[*Flight]bool{f: true}
	for next := []*Flight{f}; len(next) > 0; next = next[1:] {
		if next[0] == other {
			return true
		}
		for awaited := range next[0].waitsFor {
			if !seen[awaited] {
				seen[awaited] = true
				next = append(next, awaited)
			}
		}
	}
	return false
}
