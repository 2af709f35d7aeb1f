package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/lateen-dev/lateen"
)

// Usage is the resources that the instances of a project held and used: by hour, and by function.
type Usage struct {
	Hours     []UsageOfHour     `json:"hours"`     // oldest first; hours without usage are left out
	Functions []UsageOfFunction `json:"functions"` // by name; all deployments together
}

// UsageOfHour is the usage of all functions in one hour.
type UsageOfHour struct {
	lateen.Usage

	Hour lateen.Millis `json:"hour"` // beginning of the hour, in UTC
}

// UsageOfFunction is the usage of one function in all hours.
type UsageOfFunction struct {
	lateen.Usage

	Function string `json:"function"` // name in the manifest; "" is usage that could not be stored by function
}

// Usage returns the usage of a project in the hours that begin from since until
// until, at most 31 days; 0 is 24 hours before until, and now.
func (c *Client) Usage(ctx context.Context, project string, since, until lateen.Millis) (*Usage, error) {
	return c.usage(ctx, "/v1/projects"+path(project, "usage"), since, until)
}

// PlatformUsage returns the usage of the platform's own processes in the hours of a
// range, as [Client.Usage] does for a project. Its functions are the kinds of processes:
// blank, zygote. Only owners of the platform's first team can read it.
func (c *Client) PlatformUsage(ctx context.Context, since, until lateen.Millis) (*Usage, error) {
	return c.usage(ctx, "/v1/usage", since, until)
}

func (c *Client) usage(ctx context.Context, at string, since, until lateen.Millis) (*Usage, error) {
	query := url.Values{}
	for name, limit := range map[string]lateen.Millis{"since": since, "until": until} {
		if limit != 0 {
			query.Set(name, strconv.FormatInt(int64(limit), 10))
		}
	}
	var reply Usage
	err := c.do(ctx, call{method: http.MethodGet, path: at, query: query, out: &reply})
	return &reply, err
}
