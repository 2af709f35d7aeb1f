package edge

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

const (
	// hopsHeader carries the hop count of a request: external rewrites set it, and the
	// agents of functions set it on all requests of their functions. A request with the
	// hop count maxHops counts as a loop.
	hopsHeader = "X-Lateen-Hops"
	maxHops    = 8
	// hopsForAgent carries, on a request to a function, the hop count for the requests
	// of the function.
	hopsForAgent = "X-Vercel-Internal-Hops"
	// maxFillHops is the largest hop count of a request that starts a cache fill. The
	// requests of the fill's function have a hop count that is one higher, and those past
	// maxHops are refused: a cached page must not depend on the hop count of its first
	// request.
	maxFillHops = maxHops/2 - 1
)

// hops are the values of hopsHeader, by hop count from 1 on: the count and a random
// mark, which the ID of a cache fill may follow. The values are unguessable: with a
// forged hop count, a client could have the requests of a function in the background,
// or during a cache fill, cut off as a loop.
type hops [maxHops + 1][]string

func newHops() (h hops) {
	for n := 1; n < len(h); n++ {
		mark := make([]byte, 8)
		_, _ = rand.Read(mark) // never fails
		h[n] = []string{strconv.Itoa(n) + "." + hex.EncodeToString(mark)}
	}
	return h
}

// after returns the value for a request that a request with the hop count n causes.
func (h *hops) after(n int) []string { return h[min(n+1, maxHops)] }

// within returns the value of after for the requests of the cache fill with the ID
// fillID; "" is no cache fill.
func (h *hops) within(n int, fillID string) []string {
	if fillID == "" {
		return h.after(n)
	}
	return []string{h.after(n)[0] + "." + fillID}
}

// of returns the hop count of a request: the highest valid one in its header, which
// others may have written to. fillID is the ID of the cache fill that the request is
// part of, if any.
func (h *hops) of(header http.Header) (most int, fillID string) {
	for _, said := range header[hopsHeader] {
		number, rest, _ := strings.Cut(said, ".")
		mark, id, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if err == nil && n > most && n < len(h) && sameSecret(h[n][0], number+"."+mark) {
			most, fillID = n, id
		}
	}
	return most, fillID
}
