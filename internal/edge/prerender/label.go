package prerender

// The values of x-vercel-cache.
const (
	cacheHit         = "HIT"
	cacheMiss        = "MISS"
	cacheStale       = "STALE"
	cacheBypass      = "BYPASS"
	cachePrerender   = "PRERENDER"   // the page comes from the build
	cacheRevalidated = "REVALIDATED" // the page was refreshed on request or after an invalidation
)

// The reasons in a record for any result other than a plain hit.
const (
	reasonCold       = "cold"
	reasonCollapsed  = "collapsed" // the request waited for the cache fill of another request
	reasonError      = "error"     // the cache fill failed
	reasonStaleError = "stale_error"
	reasonDraft      = "draft_mode"
	reasonBypass     = "prerender_bypass"
	reasonCrawler    = "crawler"
)
