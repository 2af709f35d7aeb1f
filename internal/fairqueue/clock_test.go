package fairqueue_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen/internal/fairqueue"
)

func TestTenantsAreServedByTheirWeights(t *testing.T) {
	var clock fairqueue.Clock
	accounts := make([]fairqueue.Account, 3)
	weights, served := []float64{1, 2, 0}, make([]int, 3)
	for i := range accounts {
		clock.Join(&accounts[i])
	}
	for range 400 {
		next := 0
		for i := range accounts {
			if accounts[i].Before(&accounts[next]) {
				next = i
			}
		}
		served[next]++
		clock.Serve(&accounts[next], 1, weights[next])
	}
	if served[0] < 99 || served[0] > 101 || served[1] < 199 || served[1] > 201 || served[2] < 99 || served[2] > 101 {
		t.Errorf("served %v, want 100, 200, 100", served)
	}
}

func TestALateTenantIsNextAndDoesNotCatchUp(t *testing.T) {
	var clock fairqueue.Clock
	var noisy, late fairqueue.Account
	clock.Join(&noisy)
	for range 1000 {
		clock.Serve(&noisy, 1, 1)
	}
	clock.Join(&late)
	if !late.Before(&noisy) {
		t.Error("the tenant that was never served is not next")
	}
	turns := 0
	for late.Before(&noisy) {
		clock.Serve(&late, 1, 1)
		turns++
	}
	if turns > 2 {
		t.Errorf("it was served %d times in a row", turns)
	}
}

func TestAnEstimatedCostIsCorrected(t *testing.T) {
	var clock fairqueue.Clock
	var cheap, dear fairqueue.Account
	served := [2]int{}
	for range 600 {
		if cheap.Before(&dear) {
			served[0]++
			clock.Serve(&cheap, 1, 1)
			clock.Correct(&cheap, 1, 0.5, 1)
		} else {
			served[1]++
			clock.Serve(&dear, 1, 1)
			clock.Correct(&dear, 1, 2.5, 1)
		}
	}
	if served[0] < 495 || served[0] > 505 {
		t.Errorf("served %v, want five of the cheap tenant for one of the other", served)
	}
}

// queue holds waiting items in the order of their turns.
type queue struct {
	turns   fairqueue.Turns[string]
	waiting []waiting
}

type waiting struct {
	who  string
	turn fairqueue.Turn
}

func (q *queue) join(who string, weight float64, n int) {
	for range n {
		turn := q.turns.Take(who, weight)
		at, _ := slices.BinarySearchFunc(q.waiting, turn, func(w waiting, turn fairqueue.Turn) int {
			if w.turn <= turn {
				return -1
			}
			return 1
		})
		q.waiting = slices.Insert(q.waiting, at, waiting{who, turn})
	}
}

func (q *queue) serve(n int) string {
	var order strings.Builder
	for range n {
		order.WriteString(q.waiting[0].who)
		q.turns.Serve(q.waiting[0].turn)
		q.waiting = q.waiting[1:]
	}
	return order.String()
}

func TestTurnsAreByTenantAndWeight(t *testing.T) {
	var q queue
	q.join("a", 1, 64)
	q.serve(3)
	q.join("b", 1, 2)
	if got := q.serve(4); got != "baba" && got != "abab" {
		t.Errorf("during a flood the order is %s, want each in turn", got)
	}
	q.join("c", 3, 12)
	if got := q.serve(16); strings.Count(got, "c") != 12 {
		t.Errorf("the order is %s, want three of weight 3 for one of weight 1", got)
	}
	q.serve(len(q.waiting))
	q.join("a", 1, 3)
	q.join("d", 1, 3)
	if got := q.serve(6); got != "adadad" && got != "dadada" {
		t.Errorf("after the queue was empty the order is %s, want each in turn", got)
	}
}
