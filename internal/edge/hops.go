package edge

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

const (
	// hopsHeader says how often what led to a request has passed through the
	// platform: rewrites to origins say it, and the agents of functions in all
	// requests of theirs. One that comes maxHops times runs in a circle.
	hopsHeader = "X-Lateen-Hops"
	maxHops    = 8
	// hopsForAgent is the same on the way to a function, of what it asks for.
	hopsForAgent = "X-Vercel-Internal-Hops"
	// maxKeptHops is how often a request that causes the making of a shared page may have
	// passed through the platform: what its function asks for has passed once more, and
	// is refused past maxHops. A page must not depend on what led to its first visitor.
	maxKeptHops = maxHops/2 - 1
)

// hops are the values of hopsHeader, by number, from 1 on: a number and
// something to know them by, which the ID of a making may follow. Nobody makes them up, or a visitor could have what
// a function begins in its request, and keeps, counted as a circle.
type hops [maxHops + 1][]string

func newHops() (h hops) {
	for n := 1; n < len(h); n++ {
		mark := make([]byte, 8)
		_, _ = rand.Read(mark) // it never fails
		h[n] = []string{strconv.Itoa(n) + "." + hex.EncodeToString(mark)}
	}
	return h
}

// after is the value for what comes n times, and once more.
func (h *hops) after(n int) []string { return h[min(n+1, maxHops)] }

// within is the value of after for what a making asks for, which has that ID; ""
// is none.
func (h *hops) within(n int, making string) []string {
	if making == "" {
		return h.after(n)
	}
	return []string{h.after(n)[0] + "." + making}
}

// of returns how often a request has passed through the platform: the most it
// says, whoever else has written into its header. making is the ID of the making
// that the request is part of, if there is one.
func (h *hops) of(header http.Header) (most int, making string) {
	for _, said := range header[hopsHeader] {
		number, rest, _ := strings.Cut(said, ".")
		mark, id, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if err == nil && n > most && n < len(h) && sameSecret(h[n][0], number+"."+mark) {
			most, making = n, id
		}
	}
	return most, making
}
