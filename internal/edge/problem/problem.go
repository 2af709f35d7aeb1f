// Package problem has the errors of the edge, and the pages that clients get for errors.
package problem

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

// Of returns the problem of err.
func Of(err error) Problem {
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok {
		e = lateen.ErrInternal
	}
	p, ok := problems[e.Reason]
	if !ok {
		p = byCode[e.Code]
	}
	p.Reason = e.Reason
	return p
}

// OfDecision returns the problem of a routing decision that is an error.
func OfDecision(d *route.Decision) Problem {
	p, ok := problems[d.Reason]
	if !ok { // a route forces this status
		p = ofStatus(d.Status)
		p.Status = d.Status
	}
	p.Reason = d.Reason
	return p
}

// ofStatus returns the problem of a status without a reason.
func ofStatus(status int) Problem {
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
	return Problem{Status: status, Code: code, Blame: ByRequest, title: title, next: "The site's own rules set this status."}
}

// fault returns the sentence that names the party that must fix the error.
func (p *Problem) fault() string {
	switch p.Blame {
	case ByCode:
		return "The fault is in the code of this deployment, not in the platform."
	case ByPlatform:
		return "The fault is with the platform, not with the code of this deployment."
	case ByOrigin:
		return "The fault is with another server that this deployment relies on."
	default:
		return ""
	}
}
