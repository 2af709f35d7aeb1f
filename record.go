package lateen

import "time"

// Record is the one wide line a request leaves behind. Parts that serve the
// request fill it in.
type Record struct {
	ID         RequestID    `json:"requestId"`
	Time       Millis       `json:"timestamp"`
	Team       TeamID       `json:"teamId,omitempty"`
	Project    ProjectID    `json:"projectId,omitempty"`
	Deployment DeploymentID `json:"deploymentId,omitempty"`
	Target     string       `json:"environment,omitempty"`
	Branch     string       `json:"branch,omitempty"`

	Method    string `json:"requestMethod"`
	Host      string `json:"domain"`
	Path      string `json:"requestPath"` // without query
	Status    int    `json:"statusCode"`  // 499: the client went away first
	ClientIP  string `json:"clientIp,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	Referer   string `json:"referer,omitempty"`
	BytesIn   int64  `json:"bytesIn"`
	BytesOut  int64  `json:"bytesOut"`

	Kind        string        `json:"source"`          // static, function, edge, prerender, middleware, redirect, external, error
	Output      string        `json:"route,omitempty"` // path of the output that answered
	Cache       string        `json:"cache,omitempty"` // HIT, MISS, …
	CacheReason string        `json:"cacheReason,omitempty"`
	Error       string        `json:"error,omitempty"`   // reason of a platform error
	Duration    time.Duration `json:"duration"`          // to the last byte, ns
	FirstByte   time.Duration `json:"firstByte"`         // to the first byte of the response, ns
	TraceID     string        `json:"traceId,omitempty"` // 32 hex digits, W3C Trace Context
	SpanID      string        `json:"spanId,omitempty"`  // of this request, 16 hex digits
	ParentSpan  string        `json:"-"`                 // the caller's span, or ""

	// Invocation is the function that answered; nil where none did.
	Invocation *Invocation `json:"invocation,omitempty"`
	// Middleware is the middleware that ran before; nil where none did.
	Middleware *Invocation `json:"middleware,omitempty"`
}

// The levels of a [LogLine].
const (
	LevelInfo    = "info"
	LevelWarning = "warning"
	LevelError   = "error"
)

// LogLine is a line that user code wrote, or the platform about it.
type LogLine struct {
	Time       Millis       `json:"timestamp"`
	Request    RequestID    `json:"requestId,omitempty"` // "" outside of any
	Project    ProjectID    `json:"projectId"`
	Deployment DeploymentID `json:"deploymentId"`
	Function   string       `json:"function,omitempty"`
	Instance   InstanceID   `json:"instance,omitempty"`
	Level      string       `json:"level"`
	Source     string       `json:"source"` // function, edge, platform
	Text       string       `json:"message"`
	Truncated  bool         `json:"messageTruncated,omitempty"`
}
