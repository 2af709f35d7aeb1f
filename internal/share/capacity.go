package share

// Capacity divides the items of a queue and their bytes. The caller guards it against
// concurrent use. Use [NewCapacity].
type Capacity[K comparable] struct{ items, bytes *Shares[K] }

// NewCapacity returns the capacity of an empty queue.
func NewCapacity[K comparable](items, bytes int64) Capacity[K] {
	return Capacity[K]{items: New[K](items), bytes: New[K](bytes)}
}

// Take takes the capacity of an item for a tenant. It reports false if that exceeds the
// tenant's share of the items or of the bytes.
func (c Capacity[K]) Take(bytes int64, tenant K) bool {
	return c.bytes.Has(bytes, tenant) && c.items.Take(1, tenant) && c.bytes.Take(bytes, tenant)
}

// Give gives back the capacity of an item.
func (c Capacity[K]) Give(bytes int64, tenant K) {
	c.items.Give(1, tenant)
	c.bytes.Give(bytes, tenant)
}
