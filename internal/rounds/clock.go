package rounds

// Clock orders tenants that wait for the same thing by virtual time, as in
// start-time fair queueing: each has an account of what it was served, by its
// weight, and the one that was served least is next. One that asked for nothing
// has saved nothing up. The zero value is ready.
type Clock struct{ now float64 }

// Account is what a tenant was served, as of a [Clock].
type Account struct{ served float64 }

// Join notes that a tenant begins to wait: what it did not ask for before it
// does not get now.
func (c *Clock) Join(a *Account) { a.served = max(a.served, c.now) }

// Serve notes that a tenant got what costs so much. A weight of 0 is 1.
func (c *Clock) Serve(a *Account, cost, weight float64) {
	c.now = max(c.now, a.served)
	a.served += max(0, cost) / orOne(weight)
}

// Correct notes that what a tenant was served has turned out to cost something
// else than it was taken for.
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

// Turns are the same order where many of a tenant's may be served at once: each
// has a turn from when it begins to wait, as if all before it cost the same. The
// zero value is ready.
type Turns[K comparable] struct {
	clock    Clock
	accounts map[K]*Account // of tenants that are ahead of the clock
}

// Turn is when somebody is served: who has the least is next, of equal ones the
// one that came first.
type Turn float64

// Take returns the turn of one of a tenant's that begins to wait.
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

// Serve notes that who had the turn was served.
func (t *Turns[K]) Serve(turn Turn) {
	t.clock.now = max(t.clock.now, float64(turn))
	for tenant, a := range t.accounts {
		if a.served <= t.clock.now {
			delete(t.accounts, tenant) // it begins anew
		}
	}
}
