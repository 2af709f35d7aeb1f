package problem

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

func TestEveryErrorHasAPage(t *testing.T) {
	for _, code := range lateen.Codes() {
		if p := Of(&lateen.Error{Code: code, Reason: "of_tomorrow"}); p.Status < 400 || p.Code == "" || p.title == "" || p.Blame == "" || p.Reason != "of_tomorrow" {
			t.Errorf("code %s: %+v", code, p)
		}
	}
	for reason, p := range problems {
		if p.Status < 400 || p.Status > 599 || p.title == "" || p.next == "" || p.Blame == "" {
			t.Errorf("%s: %+v", reason, p)
		}
		if p.Code != strings.ToUpper(p.Code) || p.Code == "" || http.StatusText(p.Status) == "" {
			t.Errorf("%s: code %q, status %d", reason, p.Code, p.Status)
		}
	}
	for err, want := range map[*lateen.Error]int{ // the errors of the root package and of this one
		lateen.ErrDeploymentNotFound: 404, lateen.ErrDeploymentNotReady: 503, lateen.ErrFunctionFailed: 500, lateen.ErrFunctionTimeout: 504,
		lateen.ErrFunctionNoResponse: 502, lateen.ErrFunctionPayload: 413, lateen.ErrFunctionThrottled: 503, lateen.ErrFunctionStart: 503,
		lateen.ErrFunctionRuntime: 501, lateen.ErrInternal: 500, lateen.ErrNotFound: 404, lateen.ErrInvalid: 400,
		ErrUnknownHost: 404, lateen.ErrMethod: 405, ErrRange: 416, ErrPrecondition: 412, ErrStalled: 408, ErrOverloaded: 503, ErrResponseTooLarge: 500,
		errEdgeFailed: 500, errEdgeTimeout: 504, ErrMiddleware: 500, errMiddlewareTime: 504, ErrOrigin: 502, ErrOriginTimeout: 504,
		ErrOriginRefused: 502, ErrLoop: 508, ErrFunctionToAPI: 403,
	} {
		p, known := problems[err.Reason]
		if !known || p.Status != want {
			t.Errorf("%s: in the table %v, status %d, want %d", err.Reason, known, p.Status, want)
		}
	}
	for reason, want := range map[string]int{
		route.ReasonNotFound: 404, route.ReasonInfiniteLoop: 508, route.ReasonMiddlewareFailed: 500, route.ReasonRouteTimeout: 500,
		route.ReasonDenied: 403, route.ReasonRouteTooLong: 500,
	} {
		if p := OfDecision(&route.Decision{Reason: reason}); p.Status != want || p.Reason != reason {
			t.Errorf("%s: %+v", reason, p)
		}
	}
	for status, code := range map[int]string{404: "NOT_FOUND", 401: "UNAUTHORIZED", 410: "GONE", 451: "UNAVAILABLE_FOR_LEGAL_REASONS", 418: "IM_A_TEAPOT", 499: "STATUS_499"} {
		if p := OfDecision(&route.Decision{Reason: route.ReasonRouteStatus, Status: status}); p.Status != status || p.Code != code || p.title == "" {
			t.Errorf("a route's %d: %+v", status, p)
		}
	}
}
