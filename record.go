package lateen

import "time"

// Record is the entry of one request in the request log. The components that serve
// the request fill it in.
type Record struct {
	ID         RequestID    `json:"requestId"`
	Time       Millis       `json:"timestamp"`
	Team       TeamID       `json:"teamId,omitempty"`
	Project    ProjectID    `json:"projectId,omitempty"`
	Deployment DeploymentID `json:"deploymentId,omitempty"`
	Target     Environment  `json:"environment,omitempty"`
	Branch     string       `json:"branch,omitempty"`

	Method    string `json:"requestMethod"`
	Host      string `json:"domain"`
	Path      string `json:"requestPath"` // path without the query
	Status    int    `json:"statusCode"`  // 499 if the client closed the connection first
	ClientIP  string `json:"clientIp,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
	Referer   string `json:"referer,omitempty"`
	BytesIn   int64  `json:"bytesIn"`
	BytesOut  int64  `json:"bytesOut"`

	Kind        string        `json:"source"`          // static, function, edge, prerender, middleware, redirect, external, error
	Output      string        `json:"route,omitempty"` // path of the output that answered
	Cache       string        `json:"cache,omitempty"` // HIT, MISS, …
	CacheReason string        `json:"cacheReason,omitempty"`
	Error       string        `json:"error,omitempty"`   // reason of the platform's error
	Duration    time.Duration `json:"duration"`          // time to the last byte of the response, ns
	FirstByte   time.Duration `json:"firstByte"`         // time to the first byte of the response, ns
	TraceID     string        `json:"traceId,omitempty"` // 32 hex digits, W3C Trace Context
	SpanID      string        `json:"spanId,omitempty"`  // span of this request, 16 hex digits
	ParentSpan  string        `json:"-"`                 // the caller's span, or ""

	// Invocation is the request to the function that answered; nil without one.
	Invocation *Invocation `json:"invocation,omitempty"`
	// Middleware is the request to the middleware that ran before; nil without one.
	Middleware *Invocation `json:"middleware,omitempty"`
}

// The levels of a [LogLine].
const (
	LevelInfo    = "info"
	LevelWarning = "warning"
	LevelError   = "error"
)

// LogLine is a log line of user code, or of the platform about user code.
type LogLine struct {
	Time       Millis       `json:"timestamp"`
	Request    RequestID    `json:"requestId,omitempty"` // "" outside of requests
	Project    ProjectID    `json:"projectId"`
	Deployment DeploymentID `json:"deploymentId"`
	Function   string       `json:"function,omitempty"`
	Instance   InstanceID   `json:"instance,omitempty"`
	Level      string       `json:"level"`
	Source     string       `json:"source"` // function, edge, platform
	Text       string       `json:"message"`
	Truncated  bool         `json:"messageTruncated,omitempty"`
}
