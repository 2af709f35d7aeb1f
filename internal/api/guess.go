package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lateen-dev/lateen"
)

const (
	freeGuesses  = 10                     // wrong tokens that a client may send at full speed
	guessPause   = 100 * time.Millisecond // longer with each one after that
	longestGuess = 2 * time.Second
	forgotten    = 10 * time.Second // for each of them
	maxGuessers  = 4096
	maxWaits     = 256 // wrong tokens that are being answered slowly, of all clients
)

var errGuesses = &lateen.Error{Code: lateen.Exhausted, Reason: "too_many_guesses", Message: "too many wrong tokens came from this address", Hint: "log in with `lateen login`, then wait a moment"}

// guesses slows down clients that send wrong tokens. Who sends a right one
// never waits, not even among them.
type guesses struct {
	mu      sync.Mutex // guards below
	waiting int
	clients map[string]guesser
}

// guesser is a client that sent wrong tokens.
type guesser struct {
	wrong int
	last  time.Time
}

// wrong notes a wrong token of a client and returns how long its answer takes.
func (g *guesses) wrong(client string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clients == nil {
		g.clients = map[string]guesser{}
	}
	c, known := g.clients[client]
	if !known && len(g.clients) >= maxGuessers {
		g.dropLocked(now)
	}
	c.wrong = max(0, c.wrong-int(now.Sub(c.last)/forgotten)) + 1
	c.last = now
	g.clients[client] = c
	return min(longestGuess, max(0, time.Duration(c.wrong-freeGuesses)*guessPause))
}

// dropLocked makes room: those go that have been quiet longest, as far as a look at
// some tells.
func (g *guesses) dropLocked(now time.Time) {
	const looked = 16
	var oldest string
	at, n := now, 0
	for client, c := range g.clients {
		if !c.last.After(at) {
			oldest, at = client, c.last
		}
		if n++; n == looked {
			break
		}
	}
	delete(g.clients, oldest)
}

// hold waits before a wrong token is answered, or refuses where too many wait.
func (g *guesses) hold(ctx context.Context, wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	g.mu.Lock()
	full := g.waiting >= maxWaits
	if !full {
		g.waiting++
	}
	g.mu.Unlock()
	if full {
		return errGuesses
	}
	defer func() { g.mu.Lock(); g.waiting--; g.mu.Unlock() }()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
}

// refuse is the answer to a request with a wrong token: err, after a while
// where its client has sent many.
func (a *API) refuse(r *http.Request, err error) error {
	if slow := a.guesses.hold(r.Context(), a.guesses.wrong(clientOf(r), a.Now())); slow != nil {
		return slow
	}
	return err
}

// clientOf is the address of the client of a request, which the edge has taken
// from a trusted proxy where there is one.
func clientOf(r *http.Request) string {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return client
}
