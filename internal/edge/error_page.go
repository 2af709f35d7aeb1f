package edge

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/route"
)

//go:embed error_page.html
var errorPageHTML string

// blame is the party that caused an error.
type blame string

const (
	blameRequest  blame = "request"
	blameCode     blame = "code"
	blamePlatform blame = "platform"
	blameOrigin   blame = "origin"
)

// problem is an error as a client sees it. It has no part of the error's message,
// which may quote output of user code.
type problem struct {
	reason  string
	status  int
	code    string // value of x-vercel-error
	blame   blame
	title   string
	next    string // remedy; the page replaces ID in "--request ID" with the request's ID
	retryIn int    // seconds for Retry-After; 0 sends no such field
}

// problems maps the reason of an error to its page. byCode has the pages of
// reasons that are missing here.
var problems = map[string]problem{
	"deployment_not_found": {status: 404, code: "DEPLOYMENT_NOT_FOUND", blame: blameRequest, title: "This deployment could not be found", next: "Check the address. If the deployment is yours, `lateen ls` shows its address; it may have been removed."},
	"deployment_not_ready": {status: 503, code: "DEPLOYMENT_NOT_READY", blame: blamePlatform, title: "This deployment is not ready yet", next: "Try again in a moment.", retryIn: 5},
	"not_found":            {status: 404, code: "NOT_FOUND", blame: blameRequest, title: "This page could not be found", next: "Check the address, or start from the front page."},
	"bad_request":          {status: 400, code: "BAD_REQUEST", blame: blameRequest, title: "The request is malformed", next: "Check the address."},
	"forbidden":            {status: 403, code: "FORBIDDEN", blame: blameRequest, title: "This request is not allowed", next: "The site's own rules refuse it."},
	"function_calls_api":   {status: 403, code: "FORBIDDEN", blame: blameCode, title: "Functions cannot call the platform's API", next: "Call it from outside of the platform, such as from CI."},
	"method_not_allowed":   {status: 405, code: "METHOD_NOT_ALLOWED", blame: blameRequest, title: "This method is not allowed for this page", next: "Use GET or HEAD."},
	"request_timeout":      {status: 408, code: "REQUEST_TIMEOUT", blame: blameRequest, title: "The request stalled", next: "Send it again."},
	"precondition_failed":  {status: 412, code: "PRECONDITION_FAILED", blame: blameRequest, title: "The file has changed", next: "Fetch it again."},
	"range_not_satisfiable": {
		status: 416, code: "RANGE_NOT_SATISFIABLE", blame: blameRequest, title: "The requested range is outside of the file", next: "Fetch it again.",
	},
	"function_payload_too_large": {status: 413, code: "FUNCTION_PAYLOAD_TOO_LARGE", blame: blameRequest, title: "The request is too large", next: "Send a smaller body."},

	"function_invocation_failed":          {status: 500, code: "FUNCTION_INVOCATION_FAILED", blame: blameCode, title: "This function has crashed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"function_invocation_timeout":         {status: 504, code: "FUNCTION_INVOCATION_TIMEOUT", blame: blameCode, title: "This function took too long", next: "If the site is yours: make it answer sooner, or raise its maxDuration."},
	"no_response_from_function":           {status: 502, code: "NO_RESPONSE_FROM_FUNCTION", blame: blameCode, title: "This function sent no response", next: "If the site is yours, `lateen logs --request ID` shows what it did."},
	"function_response_payload_too_large": {status: 500, code: "FUNCTION_RESPONSE_PAYLOAD_TOO_LARGE", blame: blameCode, title: "The response of this function is too large", next: "If the site is yours: stream the response."},
	"response_cut_short":                  {status: 502, code: "NO_RESPONSE_FROM_FUNCTION", blame: blameCode, title: "The response of this function ended early", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"function_runtime_unsupported":        {status: 501, code: "FUNCTION_RUNTIME_UNSUPPORTED", blame: blameCode, title: "This function cannot run here", next: "The platform does not have the runtime it was built for."},
	"edge_function_invocation_failed":     {status: 500, code: "EDGE_FUNCTION_INVOCATION_FAILED", blame: blameCode, title: "This edge function has crashed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"edge_function_invocation_timeout":    {status: 504, code: "EDGE_FUNCTION_INVOCATION_TIMEOUT", blame: blameCode, title: "This edge function took too long", next: "If the site is yours: make it answer sooner."},
	"middleware_invocation_failed":        {status: 500, code: "MIDDLEWARE_INVOCATION_FAILED", blame: blameCode, title: "The site's middleware has crashed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	"middleware_invocation_timeout":       {status: 504, code: "MIDDLEWARE_INVOCATION_TIMEOUT", blame: blameCode, title: "The site's middleware took too long", next: "If the site is yours: make it answer sooner."},
	"infinite_loop_detected":              {status: 508, code: "INFINITE_LOOP_DETECTED", blame: blameCode, title: "This site requests itself in a loop", next: "If the site is yours: look for functions that call themselves, and for rewrites that lead back to themselves."},
	"route_pattern_timeout":               {status: 500, code: "ROUTE_PATTERN_TIMEOUT", blame: blameCode, title: "The site's routes took too long", next: "If the site is yours: simplify the pattern of the route that matches this path."},
	"route_text_too_long":                 {status: 500, code: "ROUTE_TEXT_TOO_LONG", blame: blameCode, title: "The site's routes make this address too long", next: "If the site is yours: look for rewrites, headers and transforms that repeat a parameter."},

	"invalid_image_optimize_request": {status: 400, code: "INVALID_IMAGE_OPTIMIZE_REQUEST", blame: blameCode, title: "Images are not resized here", next: "If the site is yours: have its framework leave images as they are, such as with `images: { unoptimized: true }` in next.config."},

	"router_external_target_error":   {status: 502, code: "ROUTER_EXTERNAL_TARGET_ERROR", blame: blameOrigin, title: "The server behind this page cannot be reached", next: "Try again in a while."},
	"router_external_target_timeout": {status: 504, code: "ROUTER_EXTERNAL_TARGET_ERROR", blame: blameOrigin, title: "The server behind this page took too long", next: "Try again in a while."},
	"router_external_target_refused": {status: 502, code: "ROUTER_EXTERNAL_TARGET_REFUSED", blame: blameCode, title: "The server behind this page may not be reached", next: "If the platform is yours, its configuration can allow the address of this rewrite."},

	"function_throttled":    {status: 503, code: "FUNCTION_THROTTLED", blame: blamePlatform, title: "This function is busy", next: "Try again in a moment.", retryIn: 1},
	"function_start_failed": {status: 503, code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", blame: blamePlatform, title: "This function could not be started", next: "Try again in a moment.", retryIn: 1},
	"worker_unreachable":    {status: 503, code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", blame: blamePlatform, title: "Functions are not available now", next: "Try again in a moment.", retryIn: 1},
	"worker_lost":           {status: 502, code: "INTERNAL_FUNCTION_SERVICE_UNAVAILABLE", blame: blamePlatform, title: "This function was interrupted", next: "Try again. If the request changes something, check first whether it has."},
	"overloaded":            {status: 503, code: "OVERLOADED", blame: blamePlatform, title: "The platform is busy", next: "Try again in a moment.", retryIn: 1},
	"internal":              {status: 500, code: "INTERNAL_SERVER_ERROR", blame: blamePlatform, title: "Internal server error", next: "Try again. If the error persists, give this request ID to the operator of this platform."},
}

// byCode maps the code of an error to its page, for reasons that problems lacks.
var byCode = map[lateen.Code]problem{
	lateen.Invalid:         {status: 400, code: "BAD_REQUEST", blame: blameRequest, title: "The request is malformed", next: "Check the address."},
	lateen.Unauthenticated: {status: 401, code: "UNAUTHORIZED", blame: blameRequest, title: "Authentication is required", next: "Log in first."},
	lateen.Forbidden:       {status: 403, code: "FORBIDDEN", blame: blameRequest, title: "This request is not allowed", next: "The site's own rules refuse it."},
	lateen.NotFound:        {status: 404, code: "NOT_FOUND", blame: blameRequest, title: "This page could not be found", next: "Check the address, or start from the front page."},
	lateen.Conflict:        {status: 409, code: "CONFLICT", blame: blameRequest, title: "The request conflicts with the current state", next: "Fetch it again."},
	lateen.Exhausted:       {status: 429, code: "TOO_MANY_REQUESTS", blame: blameRequest, title: "Too many requests", next: "Try again in a moment.", retryIn: 1},
	lateen.Faulted:         {status: 500, code: "FUNCTION_INVOCATION_FAILED", blame: blameCode, title: "The site's code has failed", next: "If the site is yours, `lateen logs --request ID` shows why."},
	lateen.Unavailable:     {status: 503, code: "SERVICE_UNAVAILABLE", blame: blamePlatform, title: "This is not available now", next: "Try again in a moment.", retryIn: 1},
	lateen.Timeout:         {status: 504, code: "GATEWAY_TIMEOUT", blame: blamePlatform, title: "This took too long", next: "Try again in a moment."},
	lateen.Internal:        {status: 500, code: "INTERNAL_SERVER_ERROR", blame: blamePlatform, title: "Internal server error", next: "Try again. If the error persists, give this request ID to the operator of this platform."},
}

// problemOf returns the problem of err.
func problemOf(err error) problem {
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok {
		e = lateen.ErrInternal
	}
	p, ok := problems[e.Reason]
	if !ok {
		p = byCode[e.Code]
	}
	p.reason = e.Reason
	return p
}

// problemFor returns the problem of a routing decision that is an error.
func problemFor(d *route.Decision) problem {
	p, ok := problems[d.Reason]
	if !ok { // a route forces this status
		p = problemOfStatus(d.Status)
		p.status = d.Status
	}
	p.reason = d.Reason
	return p
}

// problemOfStatus returns the problem of a status without a reason.
func problemOfStatus(status int) problem {
	switch status {
	case http.StatusNotFound:
		return problems["not_found"]
	case http.StatusForbidden:
		return problems["forbidden"]
	case http.StatusMethodNotAllowed:
		return problems["method_not_allowed"]
	}
	title := http.StatusText(status)
	if title == "" {
		title = "Status " + strconv.Itoa(status)
	}
	code := strings.ToUpper(strings.NewReplacer(" ", "_", "-", "_", "'", "").Replace(title))
	return problem{status: status, code: code, blame: blameRequest, title: title, next: "The site's own rules set this status."}
}

// fault returns the sentence that names the party that must fix the error.
func (p *problem) fault() string {
	switch p.blame {
	case blameCode:
		return "The fault is in the code of this deployment, not in the platform."
	case blamePlatform:
		return "The fault is with the platform, not with the code of this deployment."
	case blameOrigin:
		return "The fault is with another server that this deployment relies on."
	default:
		return ""
	}
}

// errorPage answers with the platform's own page for p, as HTML, JSON or text by
// the client's Accept.
func (x *exchange) errorPage(p problem) {
	if x.record.Kind == "" || x.record.Kind == kindPrerender {
		x.record.Kind = kindError
	}
	x.record.Cache = ""
	h := http.Header{}
	if x.decision != nil && x.decision.Kind == route.Error {
		x.decision.Merge(h)
		for _, name := range []string{"Content-Encoding", "Content-Length", "Cache-Control"} {
			delete(h, name)
		}
	}
	p.next = strings.Replace(p.next, "--request ID", "--request "+string(x.id), 1)
	kind, body := x.renderProblem(&p)
	h["Content-Type"], h["Content-Length"] = []string{kind}, []string{strconv.Itoa(len(body))}
	h["Vary"] = route.AddVary(h["Vary"], "Accept")
	if p.retryIn > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.retryIn)}
	}
	dropHopByHop(h)
	x.platformHeader(h)
	x.head(p.status, h)
	if x.req.Method == http.MethodHead || !bodyAllowed(p.status) {
		x.done = true
		return
	}
	_, err := x.w.Write(body)
	x.finish(err)
}

// renderProblem returns p in the form the client accepts, and its media type.
func (x *exchange) renderProblem(p *problem) (kind string, body []byte) {
	text := accept.Type(x.req.Header, "text/plain")
	page, object := accept.Type(x.req.Header, "text/html"), accept.Type(x.req.Header, "application/json")
	switch {
	case page > text && page >= object:
		return "text/html; charset=utf-8", x.problemHTML(p)
	case object > text, object == text && object == 1: // named explicitly, not by a wildcard
		return "application/json; charset=utf-8", x.problemJSON(p)
	default:
		return "text/plain; charset=utf-8", []byte(p.title + "\n\n" + p.code + "\n\n" + string(x.id) + "\n")
	}
}

func (x *exchange) problemHTML(p *problem) []byte {
	var b bytes.Buffer
	type text struct{ Plain, Code string } // exactly one is set
	var next []text
	for i, part := range strings.Split(p.next, "`") {
		if i%2 == 0 {
			next = append(next, text{Plain: part})
		} else {
			next = append(next, text{Code: part})
		}
	}
	err := x.edge.page.Execute(&b, struct {
		Status                 int
		Code, Title, Fault, ID string
		Next                   []text
	}{p.status, p.code, p.title, p.fault(), string(x.id), next})
	if err != nil { // only a broken template fails
		return []byte(p.title)
	}
	return b.Bytes()
}

func (x *exchange) problemJSON(p *problem) []byte {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Fault   blame  `json:"fault"`
		Hint    string `json:"hint,omitempty"`
		Request string `json:"requestId"`
	}
	b, err := json.Marshal(map[string]body{"error": {p.code, p.title, p.blame, p.next, string(x.id)}})
	if err != nil { // impossible: all values are strings
		return []byte("{}")
	}
	return append(b, '\n')
}
