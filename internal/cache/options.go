package cache

import (
	"cmp"
	"log/slog"
	"time"
)

// Options configures the directory and the bounds of a cache.
type Options struct {
	Dir string // created if missing; for this cache alone

	MaxBytes   int64         // total on disk; past it, the tenant with most loses its least recently used entries. 0 is 8 GiB
	MaxEntries int64         // on disk, bounded in the same way: each one takes an inode, and memory in the index. 0 is 1 Mi
	MaxMemory  int64         // total of the entries in memory, bounded in the same way; 0 is 64 MiB
	MaxBody    int64         // one entry on disk; larger ones are not stored. 0 is 20 MiB
	MaxInline  int64         // one entry in memory; larger ones are read from disk. 0 is 256 KiB
	MaxData    int64         // data of a scope on disk; past it, the scope loses its least recently used data. 0 is 512 MiB
	MaxIdle    time.Duration // time since the last request after which an entry is removed; 0 is 31 days
	Retry      time.Duration // time from a failed refresh to the next attempt; 0 is 30 seconds
	// MaxFills is the number of concurrent cache fills for waiting requests;
	// further fills queue. MaxRefresh is the number of concurrent background
	// refreshes; further entries stay as they are. Tenants divide both numbers, and
	// a scope gets a quarter at most. 0 is 256 and 32.
	MaxFills, MaxRefresh int
	// MaxWaiting is the number of requests that may wait for entries, and the number
	// of cache fills that may run or queue. Tenants divide it; further requests and
	// fills are refused. 0 is 16384.
	MaxWaiting int

	Now func() time.Time // orders cache fills and invalidations; nil is time.Now

	Log *slog.Logger // nil discards
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 8<<30)
	o.MaxEntries = cmp.Or(o.MaxEntries, 1<<20)
	o.MaxMemory = cmp.Or(o.MaxMemory, 64<<20)
	o.MaxBody = cmp.Or(o.MaxBody, 20<<20)
	o.MaxInline = cmp.Or(o.MaxInline, 256<<10)
	o.MaxData = cmp.Or(o.MaxData, 512<<20)
	o.MaxIdle = cmp.Or(o.MaxIdle, 31*24*time.Hour)
	o.Retry = cmp.Or(o.Retry, 30*time.Second)
	o.MaxFills = cmp.Or(o.MaxFills, 256)
	o.MaxRefresh = cmp.Or(o.MaxRefresh, 32)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 16384)
}
