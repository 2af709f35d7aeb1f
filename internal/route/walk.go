package route

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxHops bounds the rewrites of one request.
const maxHops = 50

// walk is the state of one request in the table. It writes its results into its
// Decision.
type walk struct {
	Decision
	state

	router *Router
	req    *Request
	run    RunMiddleware

	ownQuery    string        // query of the client's or a middleware's URL
	host        string        // see hostname
	hops        int           // rewrites so far
	ran         []string      // outputs of the middleware that ran
	spent       time.Duration // processor time of timed runs
	untimed     int           // instructions times bytes that runs of other patterns may take before they are timed
	steps       int           // steps that the backtracking engine may still take
	text        int           // bytes and values that may still be searched without an engine
	writeBudget writeBudget   // bytes that templates and transforms may still write
	err         error         // error of the context: there is no decision

	values     values
	scratch    groups
	fieldBuf   [8]field
	groupBuf   [4]string
	captureBuf [2]string
}

// state is restored after a phase that leads to no output.
type state struct {
	at       subject     // the current path of the request
	query    string      // the current query
	header   http.Header // the current header; the client's map, or one that is never changed again
	sent     sent
	path     string   // path that the output sees
	ownPath  bool     // a transform has set path, for any output
	status   int      // status from routes, or 0
	fields   []field  // response headers so far
	respond  []change // transforms of the response, from the last route with transforms
	matches  matches
	searched searched

	transformed bool // a transform has changed header, which differs from that of sent
}

// sent is a request without the changes of transforms, which are for outputs.
// Conditions read it.
type sent struct {
	header http.Header
	query  string
}

// field is a response header that a route or a middleware set.
type field struct {
	key       string
	values    []string
	important bool
}

// matches is the captures of the last route with a dest.
type matches struct{ names, groups []string }

// searched records the depth of a search without a result, so that it is not repeated
// for the same URL.
type searched struct {
	path, query string
	depth       depth
}

// depth is the extent of a search for an output: at the path itself, then by the
// routes of phase miss, then by those of phase rewrite.
type depth int

const (
	unsearched depth = iota
	byPath
	byMiss
	byRewrite
)

func newWalk(r *Router, req *Request, run RunMiddleware) *walk {
	w := &walk{router: r, req: req, run: run, ownQuery: req.RawQuery}
	w.path = rooted(req.Path)
	w.at, w.query, w.header, w.fields = newSubject(w.path), req.RawQuery, req.Header, w.fieldBuf[:0]
	w.sent = sent{w.header, w.query}
	w.writeBudget, w.steps, w.untimed, w.text = maxWritten, matchSteps, untimedWork, matchText
	w.values = values{groups: w.groupBuf[:0], captures: w.captureBuf[:0], env: req.Env}
	if len(r.wildcards) > 0 {
		w.values.wildcard = r.wildcards[w.hostname()]
	}
	return w
}

// hostname is the request's host without port, in lower case.
func (w *walk) hostname() string {
	if w.host == "" {
		w.host = hostOnly(w.req.Host)
	}
	return w.host
}

// resolve runs the phases until one decides.
func (w *walk) resolve(ctx context.Context) bool {
	for _, step := range [...]struct {
		phase
		depth
	}{{start, byMiss}, {filesystem, byRewrite}, {resource, byRewrite}} {
		last, decided := w.scan(ctx, step.phase)
		if decided || w.find(ctx, step.depth, true) || w.refuse(last) {
			return true
		}
	}
	return w.fail(http.StatusNotFound, ReasonNotFound)
}

// scan applies the routes of a phase in order until one ends it, which is last.
func (w *walk) scan(ctx context.Context, at phase) (last *rule, decided bool) {
	before := len(w.fields)
	rules := w.router.table[at]
	for i := range rules {
		rl := &rules[i]
		if ok, err := w.matchesRule(rl); err != nil {
			return nil, w.exceedsBound(err)
		} else if !ok {
			continue
		}
		if ends, decided := w.apply(ctx, rl, at, before); ends || decided {
			return rl, decided
		}
	}
	return nil, false
}

// matchesRule reports whether rl applies to the current request. If so, values has
// the parameters of its templates. A route does not apply to a request whose values
// would lead outside its dest.
func (w *walk) matchesRule(rl *rule) (bool, error) {
	plain, again := w.at.path == w.at.encoded, rl.refuses && w.at.decoded != ""
	if plain && !again && !w.mayMatch(rl.src, w.at.path) {
		return false, w.checkTextBound()
	}
	if rl.methods != nil && !slices.ContainsFunc(rl.methods, func(m string) bool { return strings.EqualFold(m, w.req.Method) }) {
		return false, nil
	}
	w.values.captures = slices.Grow(w.values.captures[:0], rl.captures)[:rl.captures]
	clear(w.values.captures)
	for i := range rl.has {
		if ok, err := rl.has[i].holds(w); !ok || err != nil {
			return false, err
		}
	}
	for i := range rl.missing {
		if ok, err := rl.missing[i].holds(w); ok || err != nil {
			return false, err
		}
	}
	var into *groups
	if rl.grouped {
		into = &w.values.groups
	}
	ok, err := w.match(rl.src, w.at.path, into)
	if !ok && err == nil && !plain {
		ok, err = w.match(rl.src, w.at.encoded, into)
	}
	if !ok && err == nil && again {
		ok, err = w.match(rl.src, w.at.decoded, into)
	}
	if !ok || err != nil {
		return false, err
	}
	if !w.writeBudget.take(rl.writes(&w.values)) {
		return false, errTooLong
	}
	return rl.confined(&w.values), nil
}

// confined reports whether the captures of a match stay in their places in the
// route: see [template.confined].
func (rl *rule) confined(v *values) bool {
	for i := range rl.fields {
		if f := &rl.fields[i]; f.key == "Location" && f.values == nil && !f.value.keepsHost(v) {
			return false
		}
	}
	return rl.dest.confined(v)
}

// match is [pattern.match] within the time limit of a request.
func (w *walk) match(p *pattern, text string, into *groups) (bool, error) {
	if !w.mayMatch(p, text) {
		return false, w.checkTextBound()
	}
	if work := p.size * (len(text) + 1); work < timedWork && work <= w.untimed {
		w.untimed -= work
		return p.match(text, &w.steps, into)
	}
	ok, took, err := p.timed(text, &w.steps, into)
	if w.spent += took; err == nil && w.spent > matchBudget {
		err = errBudget
	}
	return ok, err
}

// mayMatch is [pattern.mayMatch]. It counts the bytes that the search may read.
func (w *walk) mayMatch(p *pattern, text string) bool {
	if p.infix != "" {
		w.text -= len(text)
	}
	return p.mayMatch(text)
}

// checkTextBound returns an error once the limit of searched bytes is exceeded.
func (w *walk) checkTextBound() error {
	if w.text < 0 {
		return errBudget
	}
	return nil
}

var errBudget = errors.New("the patterns of this table took too long on this path")

// apply applies rl. It ends the phase unless later routes are to be tried; before is
// the number of fields at the start of the phase.
func (w *walk) apply(ctx context.Context, rl *rule, at phase, before int) (ends, decided bool) {
	if rl.mitigate != "" {
		return true, w.mitigate(rl.mitigate)
	}
	if rl.middleware != "" && w.middleware(ctx, rl.middleware) {
		return true, true
	}
	if rl.locale != nil {
		if to := w.localeRedirect(rl.locale); to != "" {
			return true, w.redirect(http.StatusTemporaryRedirect, to)
		}
	}
	w.setFields(rl, at, before)
	if rl.status != 0 {
		w.status = rl.status
	}
	if rl.status >= 300 && rl.status <= 399 {
		if to := w.location(rl); to != "" {
			return true, w.redirect(rl.status, to)
		}
	}
	if err := w.transform(rl); err != nil {
		return true, w.exceedsBound(err)
	}
	if rl.rewrites {
		if w.hops++; w.hops > maxHops {
			return true, w.fail(http.StatusLoopDetected, ReasonInfiniteLoop)
		}
		if w.follow(rl) {
			return true, true
		}
	}
	if rl.continues || !rl.check {
		return !rl.continues, false
	}
	if w.find(ctx, depthFrom(at), false) {
		return true, true
	}
	return rl.status >= 400 && at != miss, false
}

// depthFrom is the depth of a search by a route with check in phase at.
func depthFrom(at phase) depth {
	switch at {
	case miss:
		return byPath
	case rewrite:
		return byMiss
	default:
		return byRewrite
	}
}

// find looks for an output at the request's path, up to depth to, and decides if
// there is one. outermost means that the search does not belong to a route with
// check.
func (w *walk) find(ctx context.Context, to depth, outermost bool) bool {
	if w.searched.path != w.at.path || w.searched.query != w.query {
		w.searched = searched{path: w.at.path, query: w.query}
	}
	for from := w.searched.depth + 1; from <= to; from++ {
		switch from {
		case byPath:
			if forImages(w.at.path) {
				return w.fail(http.StatusBadRequest, ReasonImages)
			}
			if out, ok := w.router.outputs.find(&w.at); ok {
				return w.serve(out)
			}
		case byMiss:
			if w.try(ctx, miss, outermost) {
				return true
			}
		case byRewrite:
			if w.try(ctx, rewrite, outermost) {
				return true
			}
		case unsearched:
		}
		w.searched.depth = from
	}
	return false
}

// try applies phase at and looks for an output at the resulting path. If there is
// none, it restores the state; but an error status that the phase set decides,
// except one of phase miss on behalf of a check.
func (w *walk) try(ctx context.Context, at phase, outermost bool) bool {
	if len(w.router.table[at]) == 0 {
		return false
	}
	saved := w.state
	last, decided := w.scan(ctx, at)
	if decided || w.find(ctx, depthFrom(at), false) {
		return true
	}
	status := w.status
	w.state = saved
	if status < 400 || status == saved.status || last != nil && last.rewrites || at == miss && !outermost {
		return false
	}
	return w.fail(status, reasonOf(status))
}

// refuse gives a request without an output the status that routes set. A route that
// ended the phase with a dest leaves it to the next phase.
func (w *walk) refuse(last *rule) bool {
	switch {
	case last != nil && last.rewrites:
		return false
	case w.status >= 400:
		return w.fail(w.status, reasonOf(w.status))
	case last != nil && last.status != 0:
		w.Answer = &MiddlewareResponse{Status: last.status, Header: http.Header{}, Body: http.NoBody}
		return w.decide(Answer)
	default:
		return false
	}
}

func reasonOf(status int) string {
	if status == http.StatusNotFound {
		return ReasonNotFound
	}
	return ReasonRouteStatus
}

// setFields sets the headers of rl. In the phases hit and miss, a header of an
// earlier phase stays, unless the new one is important.
func (w *walk) setFields(rl *rule, at phase, before int) {
	for i := range rl.fields {
		f := &rl.fields[i]
		if (at == hit || at == miss) && !rl.important && !adds(f.key) && slices.ContainsFunc(w.fields[:before], func(g field) bool { return g.key == f.key }) {
			continue
		}
		values := f.values
		if values == nil {
			if f.key == "Location" {
				values = []string{onThisHost(f.value.expandURL(&w.values), f.value.parts[0].text)}
			} else {
				values = []string{f.value.expand(&w.values, forField)}
			}
		}
		w.fields = append(w.fields, field{key: f.key, values: values, important: rl.important})
	}
}

// onThisHost prevents a Location that is written as a path ("/$1/") from leading to
// another host ("//") if a parameter is empty.
func onThisHost(location, written string) string {
	if written != "" && written[0] == '/' && !strings.HasPrefix(written, "//") {
		return "/" + strings.TrimLeft(location, "/")
	}
	return location
}

// location is the target of a route with a redirect status, or "".
func (w *walk) location(rl *rule) string {
	for _, f := range slices.Backward(w.fields) {
		if f.key == "Location" {
			return f.values[0]
		}
	}
	return rl.dest.expandURL(&w.values)
}

// transform applies the transforms of rl to the request, and stores those of the
// response. The error is [errTooLong].
func (w *walk) transform(rl *rule) error {
	if len(rl.transforms) == 0 {
		return nil
	}
	w.respond = nil
	for i := range rl.transforms {
		c := rl.transforms[i].fill(&w.values)
		switch c.what {
		case "response.headers":
			w.respond = append(w.respond, c)
		case "request.headers":
			w.header, w.transformed = cloneHeader(w.header), true
			if !c.header(w.header, &w.writeBudget) {
				return errTooLong
			}
		case "request.query":
			if !w.writeBudget.take(c.queryWrites(w.query)) {
				return errTooLong
			}
			w.query = c.query(w.query)
		case "request.path":
			if p, ok := c.path(); ok {
				w.path, w.ownPath = p, true
			}
		}
	}
	return nil
}

func cloneHeader(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	return maps.Clone(h)
}

// follow continues at the dest of rl. It returns true if that is on another host.
func (w *walk) follow(rl *rule) bool {
	dest := ""
	if !rl.external {
		dest = rl.dest.expand(&w.values, forPath)
	}
	if _, absolute := cutScheme(dest); rl.external || rl.mayBeExternal && absolute {
		dest, _, _ = strings.Cut(rl.dest.expand(&w.values, forURL), "#")
		base, own, _ := strings.Cut(dest, "?")
		w.Target = base
		w.merge(own)
		w.IgnoreOriginCacheControl = rl.ignoreOrigin
		return w.decide(External)
	}
	dest, _, _ = strings.Cut(dest, "#")
	path, own, _ := strings.Cut(dest, "?")
	w.merge(own)
	w.matches = matches{}
	if len(rl.src.names) > 1 {
		w.matches = matches{names: rl.src.names, groups: slices.Clone(w.values.groups)}
	}
	w.moveTo(path)
	return false
}

// merge puts the parameters of a dest before those of the request.
func (w *walk) merge(own string) {
	same := w.sent.query == w.query
	w.query = mergeQuery(own, w.query)
	if same {
		w.sent.query = w.query
	} else {
		w.sent.query = mergeQuery(own, w.sent.query)
	}
}

// moveTo continues at path.
func (w *walk) moveTo(path string) {
	if path != w.at.path {
		w.at = newSubject(path)
	}
}
