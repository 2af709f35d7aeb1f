package route

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// serve decides for an output, with the headers of phase hit, whose routes match the
// output's own path.
func (w *walk) serve(out output) bool {
	w.moveTo(out.path)
	w.Output = out.path
	before := len(w.fields)
	rules := w.router.table[hit]
	for i := range rules {
		if ok, err := w.matchesRule(&rules[i]); err != nil {
			return w.exceedsBound(err)
		} else if ok {
			w.setFields(&rules[i], hit, before)
			if err := w.transform(&rules[i]); err != nil {
				return w.exceedsBound(err)
			}
		}
	}
	w.MatchedPath = w.matchedPath(out, before)
	if out.kind == Prerender {
		if !w.writeBudget.take(w.matches.size()) {
			return w.exceedsBound(errTooLong)
		}
		w.RouteMatches = w.matches.String()
		if !w.ownPath {
			w.path = encodePath(w.pagePath(out))
		}
	}
	return w.decide(out.kind)
}

// Page returns the request for the function of the prerender at, on behalf of req:
// the Output, MatchedPath and Path of a decision, without parameters.
func (r *Router) Page(req *Request, at string) *Decision {
	w := newWalk(r, req, nil)
	w.serve(output{kind: Prerender, path: at})
	return &Decision{Kind: Prerender, Output: at, MatchedPath: w.MatchedPath, Path: w.Path}
}

// pagePath is the path of the URL in a request to the function of a prerender.
func (w *walk) pagePath(out output) string {
	if base, ok := strings.CutSuffix(out.path, "/index"); ok && w.MatchedPath == "/" {
		return cmp.Or(base, "/")
	}
	return out.path
}

// decide completes the decision.
func (w *walk) decide(kind Kind) bool {
	w.Kind = kind
	if w.Status == 0 {
		w.Status = w.status
	}
	w.Path, w.Query, w.RequestHeader = urlPath(w.path), w.query, w.header
	if kind == External {
		if w.Target = urlPath(w.Target); w.query != "" {
			w.Target += "?" + w.query
		}
	}
	for _, f := range w.fields {
		into := &w.Header
		if f.important {
			into = &w.Important
		}
		if kind == Redirect && f.key == "Location" {
			continue
		}
		if *into == nil {
			*into = make(http.Header, len(w.fields))
		}
		if adds(f.key) {
			(*into)[f.key] = added(f.key, (*into)[f.key], f.values)
		} else {
			(*into)[f.key] = f.values
		}
	}
	w.transforms, w.left = w.respond, w.writeBudget
	return true
}

// redirect decides for a redirect. It appends the parameters of the client's URL
// that the target does not have.
func (w *walk) redirect(status int, to string) bool {
	w.Status, w.Location = status, uri(mergeURL(to, w.ownQuery))
	return w.decide(Redirect)
}

// mitigate rejects a request by a route's mitigate. The platform has no challenge
// for clients, so both actions deny.
func (w *walk) mitigate(action string) bool {
	w.fields = append(w.fields, field{key: "X-Vercel-Mitigated", values: []string{action}})
	return w.fail(http.StatusForbidden, ReasonDenied)
}

// exceedsBound decides for an error: a pattern took too long on the path of the
// request, or the routes write too much for it.
func (w *walk) exceedsBound(err error) bool {
	w.Cause, w.Status, w.Reason = err, http.StatusInternalServerError, ReasonRouteTimeout
	if errors.Is(err, errTooLong) {
		w.Reason, w.fields, w.respond = ReasonRouteTooLong, nil, nil
	}
	w.Output, w.MatchedPath = "", ""
	return w.decide(Error)
}

// fail decides for an error page of the table, or else the platform's. In a table
// without a phase error, a file 404.html is the page of a 404.
func (w *walk) fail(status int, reason string) bool {
	w.status, w.Status, w.Reason = status, status, reason
	rules := w.router.table[failure]
	for i := range rules {
		rl := &rules[i]
		if rl.status != 0 && rl.status != status {
			continue
		}
		ok, err := w.matchesRule(rl)
		if err != nil {
			return w.exceedsBound(err)
		}
		if !ok {
			continue
		}
		saved := w.state
		w.setFields(rl, failure, len(w.fields))
		if err := w.transform(rl); err != nil {
			return w.exceedsBound(err)
		}
		if rl.rewrites {
			if w.follow(rl) {
				return true
			}
			if out, ok := w.router.outputs.find(&w.at); ok {
				return w.serve(out)
			}
			w.state = saved
		} else if !rl.continues {
			break
		}
	}
	if out, ok := w.router.outputs["/404.html"]; ok && len(rules) == 0 && status == http.StatusNotFound && out.kind == Static {
		return w.serve(out)
	}
	return w.decide(Error)
}

// String is the form of the x-now-route-matches header.
func (m matches) String() string {
	if len(m.groups) == 0 {
		return ""
	}
	var b strings.Builder
	add := func(name, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + url.QueryEscape(value))
	}
	for i := 1; i < len(m.groups); i++ {
		add(strconv.Itoa(i), m.groups[i])
	}
	for i := 1; i < len(m.groups) && i < len(m.names); i++ {
		if m.names[i] != "" {
			add(m.names[i], m.groups[i])
		}
	}
	return b.String()
}
