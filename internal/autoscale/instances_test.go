package autoscale_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

func TestInstancesAreStartedForRequestsThatWouldWaitLonger(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		demand autoscale.Demand
		want   int
	}{
		{"no request waits", autoscale.Demand{Limit: 10, Start: 50 * ms}, 0},
		{"the first request", autoscale.Demand{Waiting: 1, Limit: 10, Start: 50 * ms}, 1},
		{"the second, while one starts", autoscale.Demand{Waiting: 2, Starting: 1, Limit: 10, Start: 50 * ms}, 0},
		{"a burst of short requests on an idle function", autoscale.Demand{Waiting: 500, Limit: 10, Start: 50 * ms, Service: 5 * ms}, 5},
		{"a burst of long ones", autoscale.Demand{Waiting: 500, Limit: 10, Start: 50 * ms, Service: time.Second}, 48},
		{"a burst of unknown duration", autoscale.Demand{Waiting: 500, Limit: 10, Start: 50 * ms}, 50},
		{"the remainder of a burst", autoscale.Demand{Waiting: 500, Starting: 47, Limit: 10, Start: 50 * ms, Service: time.Second}, 1},
		{"full for a short time", autoscale.Demand{Waiting: 20, Ready: 1, Limit: 10, Start: 50 * ms, Service: 5 * ms}, 0},
		{"full for a long time", autoscale.Demand{Waiting: 1, Ready: 1, Limit: 10, Start: 50 * ms, Service: 10 * time.Second}, 1},
		{"one at a time", autoscale.Demand{Waiting: 3, Start: 50 * ms, Service: time.Second}, 3},
		{"no more than Max", autoscale.Demand{Waiting: 500, Ready: 2, Starting: 1, Limit: 10, Max: 8}, 5},
		{"more than Max already", autoscale.Demand{Waiting: 500, Ready: 9, Limit: 10, Max: 8}, 0},
		{"no fewer than Min", autoscale.Demand{Ready: 1, Starting: 1, Min: 5}, 3},
		{"Max is stronger than Min", autoscale.Demand{Min: 5, Max: 2}, 2},
		{"nonsense", autoscale.Demand{Waiting: -1, Ready: -1, Starting: -1, Limit: -1, Start: -1, Service: -1, Min: -1, Max: -1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.demand.Missing(); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}

func TestMissingInstancesGrowWithDemandAndShrinkWithSupply(t *testing.T) {
	chance := rand.New(rand.NewPCG(8, 8))
	for range 10_000 {
		d := autoscale.Demand{
			Waiting: chance.IntN(1000), Ready: chance.IntN(10), Starting: chance.IntN(10), Limit: chance.IntN(50),
			Start: time.Duration(chance.Int64N(int64(time.Second))), Service: time.Duration(chance.Int64N(int64(time.Second))),
			Max: 5 + chance.IntN(100),
		}
		n := d.Missing()
		if n < 0 || n > 0 && d.Ready+d.Starting+n > d.Max || n > d.Waiting {
			t.Fatalf("%+v: %d", d, n)
		}
		more := func(what string, change func(d *autoscale.Demand), sign int) {
			e := d
			change(&e)
			if got := e.Missing(); (got-n)*sign < 0 {
				t.Fatalf("%+v: %d, with more %s %d", d, n, what, got)
			}
		}
		more("waiting", func(d *autoscale.Demand) { d.Waiting++ }, 1)
		more("ready", func(d *autoscale.Demand) { d.Ready++ }, -1)
		more("starting", func(d *autoscale.Demand) { d.Starting++ }, -1)
		more("room", func(d *autoscale.Demand) { d.Limit++ }, -1)
		more("a long start", func(d *autoscale.Demand) { d.Start *= 2 }, -1)
		more("bound", func(d *autoscale.Demand) { d.Max++ }, 1)
		if d.Service > 0 {
			more("work", func(d *autoscale.Demand) { d.Service *= 2 }, 1)
		}
		d.Starting += n
		if again := d.Missing(); again != 0 {
			t.Fatalf("%+v: %d more once they start", d, again)
		}
	}
}
