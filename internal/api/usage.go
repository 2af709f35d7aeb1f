package api

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/lateen-dev/lateen"
)

// usageReply is the usage of a project twice: by hour, and by function.
type usageReply struct {
	Hours     []usageOfHour     `json:"hours"`     // oldest first; hours without usage are left out
	Functions []usageOfFunction `json:"functions"` // by name; all deployments together
}

type usageOfHour struct {
	lateen.Usage

	Hour lateen.Millis `json:"hour"` // beginning of the hour, in UTC
}

type usageOfFunction struct {
	lateen.Usage

	Function string `json:"function"` // name in the manifest; "" is usage that could not be stored by function
}

func getUsage(a *API, r *http.Request, _ *none) (*usageReply, error) {
	return sumUsage(r, func(since, until lateen.Millis) ([]lateen.UsageHour, error) {
		return a.Control.Usage(r.Context(), r.PathValue("project"), since, until)
	})
}

func getPlatformUsage(a *API, r *http.Request, _ *none) (*usageReply, error) {
	return sumUsage(r, func(since, until lateen.Millis) ([]lateen.UsageHour, error) {
		return a.Control.PlatformUsage(r.Context(), since, until)
	})
}

// sumUsage adds up the usage in the range of a request.
func sumUsage(r *http.Request, list func(since, until lateen.Millis) ([]lateen.UsageHour, error)) (*usageReply, error) {
	since, err := millisOf(r, "since")
	if err != nil {
		return nil, err
	}
	until, err := millisOf(r, "until")
	if err != nil {
		return nil, err
	}
	rows, err := list(since, until)
	if err != nil {
		return nil, err
	}
	reply := &usageReply{Hours: []usageOfHour{}, Functions: []usageOfFunction{}}
	functions := map[string]int{}
	for i := range rows {
		row := &rows[i]
		if n := len(reply.Hours); n == 0 || reply.Hours[n-1].Hour != row.Hour { // rows are in the order of hours
			reply.Hours = append(reply.Hours, usageOfHour{Hour: row.Hour})
		}
		reply.Hours[len(reply.Hours)-1].Add(row.Usage)
		at, ok := functions[row.Function]
		if !ok {
			at = len(reply.Functions)
			functions[row.Function] = at
			reply.Functions = append(reply.Functions, usageOfFunction{Function: row.Function})
		}
		reply.Functions[at].Add(row.Usage)
	}
	slices.SortFunc(reply.Functions, func(a, b usageOfFunction) int { return cmp.Compare(a.Function, b.Function) })
	return reply, nil
}
