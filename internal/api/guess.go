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
	freeGuesses  = 10                     // wrong tokens of one client without a delay
	guessPause   = 100 * time.Millisecond // delay after that, longer with each wrong token
	longestGuess = 2 * time.Second
	forgotten    = 10 * time.Second // time until one wrong token is forgotten
	maxGuessers  = 4096
	maxWaits     = 256 // delayed replies to wrong tokens, of all clients
)

var errGuesses = &lateen.Error{Code: lateen.Exhausted, Reason: "too_many_guesses", Message: "too many wrong tokens from this address", Hint: "log in with `lateen login`, then wait a moment"}

// guesses delays the replies to clients that send wrong tokens. A request with a
// right token never waits, also among wrong ones from the same client.
type guesses struct {
	mu      sync.Mutex // guards the fields below
	waiting int
	clients map[string]guesser
}

// guesser is a client that has sent wrong tokens.
type guesser struct {
	wrong int
	last  time.Time
}

// wrong records a wrong token of a client and returns the delay of its reply.
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

// dropLocked removes the client that was idle longest among a sample of clients.
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

// hold delays the reply to a wrong token, or refuses it if too many wait.
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

// refuse returns err, the reply to a request with a wrong token, after a delay if
// its client has sent many.
func (a *API) refuse(r *http.Request, err error) error {
	if slow := a.guesses.hold(r.Context(), a.guesses.wrong(clientOf(r), a.Now())); slow != nil {
		return slow
	}
	return err
}

// clientOf returns the address of the client of a request. The edge has taken it
// from a trusted proxy, if there is one.
func clientOf(r *http.Request) string {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return client
}
