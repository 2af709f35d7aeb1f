package call

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

const (
	// HopsHeader carries the hop count of a request: external rewrites set it, and the
	// agents of functions set it on all requests of their functions.
	HopsHeader = "X-Lateen-Hops"
	// MaxHops is the hop count with which a request counts as a loop.
	MaxHops = 8
	// hopsForAgent carries, on a request to a function, the hop count for the requests
	// of the function.
	hopsForAgent = "X-Vercel-Internal-Hops"
)

// Hops are the values of HopsHeader, by hop count from 1 on: the count and a random
// mark, which the ID of a cache fill may follow. The values are unguessable: with a
// forged hop count, a client could have the requests of a function in the background,
// or during a cache fill, cut off as a loop.
type Hops [MaxHops + 1][]string

// NewHops returns new values.
func NewHops() (h Hops) {
	for n := 1; n < len(h); n++ {
		mark := make([]byte, 8)
		_, _ = rand.Read(mark) // never fails
		h[n] = []string{strconv.Itoa(n) + "." + hex.EncodeToString(mark)}
	}
	return h
}

// after returns the value for a request that a request with the hop count n causes.
func (h *Hops) after(n int) []string { return h[min(n+1, MaxHops)] }

// Within returns the value of after for the requests of the cache fill with the ID
// fillID; "" is no cache fill.
func (h *Hops) Within(n int, fillID string) []string {
	if fillID == "" {
		return h.after(n)
	}
	return []string{h.after(n)[0] + "." + fillID}
}

// Of returns the hop count of a request: the highest valid one in its header, which
// others may have written to. fillID is the ID of the cache fill that the request is
// part of, if any.
func (h *Hops) Of(header http.Header) (most int, fillID string) {
	for _, said := range header[HopsHeader] {
		number, rest, _ := strings.Cut(said, ".")
		mark, id, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(number)
		if err == nil && n > most && n < len(h) && subtle.ConstantTimeCompare([]byte(h[n][0]), []byte(number+"."+mark)) == 1 {
			most, fillID = n, id
		}
	}
	return most, fillID
}
