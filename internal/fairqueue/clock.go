package fairqueue

// Clock orders waiting tenants by virtual time, as in start-time fair queueing: each
// tenant has an account of the service that it got, divided by its weight, and the
// tenant with the least is next. A tenant gains nothing by not waiting. The zero
// value is ready.
type Clock struct{ now float64 }

// Account is the virtual time up to which a [Clock] has served a tenant.
type Account struct{ served float64 }

// Join records that a tenant begins to wait. It does not make up for the time
// before.
func (c *Clock) Join(a *Account) { a.served = max(a.served, c.now) }

// Serve records that a tenant was served at a cost. A weight of 0 is 1.
func (c *Clock) Serve(a *Account, cost, weight float64) {
	c.now = max(c.now, a.served)
	a.served += max(0, cost) / orOne(weight)
}

// Correct replaces the estimated cost taken of an earlier Serve by the actual cost.
func (c *Clock) Correct(a *Account, taken, cost, weight float64) {
	a.served = max(0, a.served+(max(0, cost)-max(0, taken))/orOne(weight))
}

// Before reports whether a is to be served before b.
func (a *Account) Before(b *Account) bool { return a.served < b.served }

func orOne(weight float64) float64 {
	if !(weight > 0) {
		return 1
	}
	return weight
}

// Turns is a Clock for tenants with many waiting items that are served concurrently:
// each item gets its turn when it begins to wait, as if all earlier ones of the
// tenant cost the same. The zero value is ready.
type Turns[K comparable] struct {
	clock    Clock
	accounts map[K]*Account // tenants whose next turn is later than the clock
}

// Turn is the position of an item in the order: the lowest is served next, of equal
// ones the first to arrive.
type Turn float64

// Take returns the turn of a tenant's item that begins to wait.
func (t *Turns[K]) Take(tenant K, weight float64) Turn {
	a := t.accounts[tenant]
	if a == nil {
		if t.accounts == nil {
			t.accounts = map[K]*Account{}
		}
		a = &Account{}
		t.accounts[tenant] = a
	}
	t.clock.Join(a)
	turn := Turn(a.served)
	a.served += 1 / orOne(weight)
	return turn
}

// Serve records that the item with the turn was served.
func (t *Turns[K]) Serve(turn Turn) {
	t.clock.now = max(t.clock.now, float64(turn))
	for tenant, a := range t.accounts {
		if a.served <= t.clock.now {
			delete(t.accounts, tenant) // its next turn is the clock's time in any case
		}
	}
}
