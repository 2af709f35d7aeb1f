package edge

import (
	"net/http"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
)

// learn passes the response to the prediction of the site, and prewarms the functions
// that a page is likely to call next.
func (x *exchange) learn(status int, h http.Header) {
	if x.edge.prewarm.start == nil || x.Site == nil {
		return
	}
	function, before := functionOf(x.record.Invocation), functionOf(x.record.Middleware)
	habits, now, from := x.Site.Traffic, x.edge.o.Now(), x.Client.Addr
	if x.first {
		habits.OnFirst(now, before, function)
	}
	if before != "" {
		habits.OnAnswer(x.req.URL.Path, function, now)
	}
	if function != "" {
		habits.OnCall(function, referrer(x.record.Referer, x.Client.Host), from, now)
	}
	if x.record.Output == "" || !isPage(x.req, status, h) {
		return
	}
	next := habits.OnPage(x.record.Output, x.req.URL.Path, from, now)
	next = slices.DeleteFunc(next, func(name string) bool { return name == function }) // this one is running
	if len(next) > 0 && !accept.IsCrawler(x.req.UserAgent()) {
		x.edge.prewarm.functions(x.Site, next)
	}
}

func functionOf(inv *lateen.Invocation) string {
	if inv == nil {
		return ""
	}
	return inv.Function
}

// isPage reports whether a response to r is a page that a browser navigated to, by
// Sec-Fetch-Dest, else by its type. A 304 for a page in the browser's cache counts too.
func isPage(r *http.Request, status int, h http.Header) bool {
	if r.Method != http.MethodGet {
		return false
	}
	switch use := r.Header["Sec-Fetch-Dest"]; {
	case len(use) == 1 && use[0] == "document" && status == http.StatusNotModified:
		return true
	case len(use) == 1 && use[0] != "document", status != http.StatusOK:
		return false
	}
	kind := h["Content-Type"]
	return len(kind) == 1 && len(kind[0]) >= len("text/html") && strings.EqualFold(kind[0][:len("text/html")], "text/html")
}

// referrer returns the path of the page at the URL sent by a request to host: "" if it is
// unknown, "*" if it is a page of another site.
func referrer(sent, host string) string {
	if sent == "" {
		return ""
	}
	_, rest, _ := strings.Cut(sent, "://")
	i := strings.IndexByte(rest, '/')
	if i < 0 || rest[:i] != host {
		return "*"
	}
	path := rest[i:]
	if end := strings.IndexAny(path, "?#"); end >= 0 {
		path = path[:end]
	}
	return path
}
