package autoscale_test

import (
	"math/rand/v2"
	"testing"

	"github.com/lateen-dev/lateen/internal/autoscale"
)

func TestTheTenantWithTheLargestShareYieldsUntilAllAreEqual(t *testing.T) {
	chance := rand.New(rand.NewPCG(6, 6))
	for range 1000 {
		holdings := make([]autoscale.Holding, 2+chance.IntN(6))
		for i := range holdings {
			holdings[i] = autoscale.Holding{Has: chance.IntN(20)}
		}
		for moves := 0; ; moves++ {
			moved := false
			for i := range holdings {
				if from, ok := autoscale.Yield(holdings, i); ok {
					holdings[from].Has--
					holdings[i].Has++
					moved = true
				}
			}
			if !moved {
				break
			}
			if moves > 200 {
				t.Fatal("units move back and forth")
			}
		}
		for _, a := range holdings {
			for _, b := range holdings {
				if a.Has-b.Has > 1 {
					t.Fatalf("%v is not even", holdings)
				}
			}
		}
	}
}

func TestTenantsOfAHigherWeightYieldLater(t *testing.T) {
	holdings := []autoscale.Holding{{Has: 12, Weight: 4}, {Has: 4, Weight: 1}, {Has: 0}}
	if from, ok := autoscale.Yield(holdings, 2); !ok || from != 1 {
		t.Errorf("%d yields, want the second", from)
	}
	if _, ok := autoscale.Yield([]autoscale.Holding{{Has: 1}, {}}, 1); ok {
		t.Error("the last unit was taken")
	}
}

func TestCPUTimeIsForTenantsBelowTheirShare(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    autoscale.Processors
		need float64
		want bool
	}{
		{"time is left", autoscale.Processors{Total: 2, Used: 2, Own: 2, Part: 1}, 1, true},
		{"none is left", autoscale.Processors{Total: 2, Used: 4, Own: 4, Part: 1}, 1, false},
		{"none is left, and the tenant uses none", autoscale.Processors{Total: 2, Used: 4, Part: 0.5}, 1, true},
		{"none is left, and the tenant uses less than its share", autoscale.Processors{Total: 2, Used: 4, Own: 1, Part: 0.5}, 1, true},
		{"none is left, and the tenant uses its share", autoscale.Processors{Total: 2, Used: 4, Own: 2, Part: 0.5}, 1, false},
		{"none is left, and the tenant uses less than its larger share", autoscale.Processors{Total: 2, Used: 4, Own: 2, Part: 0.75}, 1, true},
		{"a request without CPU time", autoscale.Processors{Total: 2, Used: 40, Own: 40, Part: 1}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.p.Admit(tt.need); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
