package share

import "sync"

// Amount is [Shares] whose methods may be called concurrently. Use [NewAmount].
type Amount[K comparable] struct {
	mu     sync.Mutex // guards shares
	shares *Shares[K]
}

// NewAmount returns an amount without holders.
func NewAmount[K comparable](amount int64) *Amount[K] { return &Amount[K]{shares: New[K](amount)} }

// Take is [Shares.Take].
func (a *Amount[K]) Take(n int64, tenants ...K) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shares.Take(n, tenants...)
}

// Give is [Shares.Give].
func (a *Amount[K]) Give(n int64, tenants ...K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.shares.Give(n, tenants...)
}

// Free is [Shares.Free].
func (a *Amount[K]) Free() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.shares.Free()
}
