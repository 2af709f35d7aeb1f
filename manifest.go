package lateen

import "slices"

// ManifestVersion is the current version of the manifest format.
const ManifestVersion = 1

// Manifest is the immutable, compiled form of a deployment: everything that the
// request path needs, with content by digest. A path in it is a URL path without
// query, "/" first, not percent-encoded; "/index" answers "/", "/a/index" answers
// "/a".
type Manifest struct {
	Version    int        `json:"version"`
	Framework  *Framework `json:"framework,omitempty"`
	Routes     []Route    `json:"routes,omitempty"` // routes and handles in the order of the build output
	Wildcards  []Wildcard `json:"wildcards,omitempty"`
	Images     *Images    `json:"images,omitempty"`
	Crons      []Cron     `json:"crons,omitempty"`
	SkewID     string     `json:"skewId,omitempty"` // deploymentId of config.json
	BypassMore []Bypass   `json:"bypassMore,omitempty"`

	// Files are the static files by path, after the overrides of config.json.
	Files map[string]File `json:"files,omitempty"`
	// Functions are the distinct functions by name. A name is the path of one of the
	// function's outputs.
	Functions map[string]Function `json:"functions,omitempty"`
	// Outputs maps the paths that reach a function to its name in Functions. Several
	// paths may share one function.
	Outputs map[string]string `json:"outputs,omitempty"`
	// Prerenders are the outputs whose responses are cached, by path. Each is also
	// in Outputs, unless it has a fallback and no function.
	Prerenders map[string]Prerender `json:"prerenders,omitempty"`
}

// UsesEnv reports whether the deployment needs its environment: whether it has a
// function, or a route that names variables.
func (m *Manifest) UsesEnv() bool {
	return len(m.Functions) > 0 || slices.ContainsFunc(m.Routes, func(r Route) bool {
		return len(r.Env) > 0 || slices.ContainsFunc(r.Transforms, func(t Transform) bool { return len(t.Env) > 0 })
	})
}

// Framework names the framework that built the output, for display. Slug or Version
// may be "", not both.
type Framework struct {
	Slug    string `json:"slug,omitempty"`
	Version string `json:"version,omitempty"`
}

// Wildcard gives a domain the value of $wildcard in routes.
type Wildcard struct {
	Domain string `json:"domain"`
	Value  string `json:"value"`
}

// Cron calls a path of the production deployment on a schedule of five fields in UTC.
type Cron struct {
	Path     string `json:"path"`
	Schedule string `json:"schedule"`
}

// File is a static file.
type File struct {
	Blob

	ContentType string `json:"type"`
	// Mode is the permission bits of the source file.
	Mode uint32 `json:"mode,omitempty"`
	// Encodings are the precompressed variants by content coding (br, zstd,
	// gzip), each smaller than the file itself.
	Encodings map[string]Blob `json:"encodings,omitempty"`
}

// Blob refers to content that is stored as an artifact.
type Blob struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// Bypass lets a request past the cache when all of its conditions hold.
type Bypass struct {
	Name   string        `json:"name,omitempty"`
	HasAll []BypassMatch `json:"hasAll"`
}

// BypassMatch is a condition on a header of the request or of the cached page.
type BypassMatch struct {
	Type  string `json:"type"` // request.header, cache.response.header
	Key   string `json:"key"`
	Value any    `json:"value,omitempty"` // a regular expression or a [Condition]; nil requires presence only
}

// Images are the settings of the image optimiser for a deployment.
type Images struct {
	Sizes                  []int           `json:"sizes"`
	Domains                []string        `json:"domains"`
	RemotePatterns         []RemotePattern `json:"remotePatterns,omitempty"`
	LocalPatterns          []LocalPattern  `json:"localPatterns"` // nil: all; empty: none
	Qualities              []int           `json:"qualities,omitempty"`
	MinimumCacheTTL        int             `json:"minimumCacheTTL,omitempty"` // seconds
	Formats                []string        `json:"formats,omitempty"`
	DangerouslyAllowSVG    bool            `json:"dangerouslyAllowSVG,omitempty"`
	ContentSecurityPolicy  string          `json:"contentSecurityPolicy,omitempty"`
	ContentDispositionType string          `json:"contentDispositionType,omitempty"`
}

// RemotePattern allows remote images; hostname, port and pathname are regular
// expressions.
type RemotePattern struct {
	Protocol string  `json:"protocol,omitempty"`
	Hostname string  `json:"hostname"`
	Port     string  `json:"port,omitempty"`
	Pathname string  `json:"pathname,omitempty"`
	Search   *string `json:"search,omitempty"`
}

// LocalPattern allows images of the deployment itself.
type LocalPattern struct {
	Pathname string  `json:"pathname,omitempty"`
	Search   *string `json:"search,omitempty"`
}

// Errors of the build output. The user can fix all of them.
var (
	ErrBuildOutput        = &Error{Code: Invalid, Reason: "build_output_invalid", Message: "the build output is malformed", Hint: "build again with a current `vercel build`"}
	ErrBuildOutputMissing = &Error{Code: Invalid, Reason: "build_output_missing", Message: ".vercel/output/config.json is missing from the upload", Hint: "run `vercel build` first"}
	ErrBuildOutputVersion = &Error{Code: Invalid, Reason: "build_output_version", Message: "only version 3 of the Build Output API is supported"}
	ErrBuildOutputFailed  = &Error{Code: Invalid, Reason: "build_failed", Message: "the build that made this output failed", Hint: "fix the build, run `vercel build` again, then deploy"}
	ErrInvalidRoute       = &Error{Code: Invalid, Reason: "invalid_route", Message: "a route of config.json is malformed"}
)
