package api

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestWrongTokensAreAnsweredSlowerAndSlower(t *testing.T) {
	var g guesses
	now := time.Unix(1_800_000_000, 0)
	var last time.Duration
	for n := range 200 {
		wait := g.wrong("192.0.2.1", now)
		if n < freeGuesses && wait != 0 {
			t.Errorf("guess %d waits %s", n+1, wait)
		}
		if n >= freeGuesses && (wait < last || wait == 0 || wait > longestGuess) {
			t.Errorf("guess %d waits %s after %s", n+1, wait, last)
		}
		last = wait
	}
	if wait := g.wrong("192.0.2.2", now); wait != 0 {
		t.Errorf("a neighbour waits %s", wait)
	}
	if wait := g.wrong("192.0.2.1", now.Add(200*forgotten)); wait != 0 {
		t.Errorf("after long, a guess waits %s", wait)
	}
	for n := range 3 * maxGuessers {
		g.wrong(fmt.Sprint("client ", n), now.Add(time.Hour))
	}
	if len(g.clients) > maxGuessers {
		t.Errorf("%d clients are remembered", len(g.clients))
	}
}

func TestDelayedRepliesToGuessersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		refused := make(chan error, 2*maxWaits)
		for range 2 * maxWaits {
			go func() { refused <- g.hold(t.Context(), time.Second) }()
		}
		n := 0
		for range 2 * maxWaits {
			if errors.Is(<-refused, errGuesses) {
				n++
			}
		}
		if n != maxWaits || g.waiting != 0 {
			t.Errorf("%d of %d were refused, %d wait still", n, 2*maxWaits, g.waiting)
		}
	})
}
