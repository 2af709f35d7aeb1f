package lateen

// Prerender is an output whose responses are cached (incremental static
// regeneration). Fields are those of .prerender-config.json.
type Prerender struct {
	// Expiration is the freshness lifetime of a response in seconds; nil is until an
	// invalidation.
	Expiration *int `json:"expiration"`
	// StaleExpiration is the age in seconds from which a response may no longer be
	// served stale; 0 is no bound.
	StaleExpiration int `json:"staleExpiration,omitempty"`
	// Group is the number of the prerenders that are regenerated together and expire
	// at the same time; 0 is no group.
	Group         int        `json:"group,omitempty"`
	BypassToken   string     `json:"bypassToken,omitempty"` // secret
	Fallback      *Fallback  `json:"fallback,omitempty"`    // response of the build; nil is none
	AllowQuery    []string   `json:"allowQuery"`            // nil: every parameter counts; empty: none
	AllowHeader   []string   `json:"allowHeader,omitempty"`
	PassQuery     bool       `json:"passQuery,omitempty"`
	SourcePath    string     `json:"sourcePath,omitempty"`
	ExposeErrBody bool       `json:"exposeErrBody,omitempty"`
	BypassFor     []HasField `json:"bypassFor,omitempty"`
	StreamingPath string     `json:"streamingPath,omitempty"` // output that answers bypassing requests
	Chain         *Chain     `json:"chain,omitempty"`         // output that renders the rest of a partially prerendered page

	PartialFallback bool            `json:"partialFallback,omitempty"`
	OnMiss          string          `json:"onMiss,omitempty"` // sync, dynamic
	Metadata        *RenderMetadata `json:"metadata,omitempty"`
}

// RenderMetadata describes how the build rendered a fallback.
type RenderMetadata struct {
	Compute  string `json:"compute,omitempty"` // blocking, resuming, static
	HTMLSize int64  `json:"htmlSize,omitempty"`
}

// Fallback is a response made at build time.
type Fallback struct {
	Blob

	ContentType string            `json:"type,omitempty"`
	Status      int               `json:"status,omitempty"` // 0 is 200
	Headers     map[string]string `json:"headers,omitempty"`
}

// Chain names the output that continues a partially prerendered page.
type Chain struct {
	Output  string            `json:"output"`
	Headers map[string]string `json:"headers,omitempty"`
}
