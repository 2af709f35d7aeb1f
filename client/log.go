package client

import (
	"context"
	"net/http"

	"github.com/lateen-dev/lateen"
)

// LogQuery selects requests; a zero field selects all.
type LogQuery struct {
	Project     lateen.ProjectID // required
	Deployment  lateen.DeploymentID
	Environment lateen.Environment
	Branch      string
	Levels      []string
	Status      string // 500, or 5xx
	Source      string
	Search      string
	Request     lateen.RequestID
	Since       lateen.Millis // 0 is a day ago
	Until       lateen.Millis
	Before      string // the Cursor of the last entry of the page before; for [Client.Entries]
	After       string // the Cursor of the last entry of [Client.FollowEntries], which goes on there; "" is from now on
	Page        int    // from 0; for [Client.Logs]
}

// LogEntry is a request with the lines that user code wrote during it.
type LogEntry struct {
	Request    lateen.RequestID    `json:"requestId"`
	Time       lateen.Millis       `json:"timestamp"`
	Deployment lateen.DeploymentID `json:"deploymentId"`
	Method     string              `json:"requestMethod"`
	Host       string              `json:"domain"`
	Path       string              `json:"requestPath"`
	Status     int                 `json:"statusCode"`
	Target     lateen.Environment  `json:"environment"`
	Branch     string              `json:"branch"`
	Cache      string              `json:"cache"`
	Duration   float64             `json:"durationMs"`
	Lines      []struct {
		Time      lateen.Millis `json:"timestamp"`
		Level     string        `json:"level"`
		Message   string        `json:"message"`
		Truncated bool          `json:"messageTruncated"`
	} `json:"logs"`
}

// Logs returns a page of requests, newest first, and whether there are more.
func (c *Client) Logs(ctx context.Context, q LogQuery) ([]LogEntry, bool, error) {
	query := q.values()
	query.Set("projectId", string(q.Project))
	var reply struct {
		Rows []LogEntry `json:"rows"`
		More bool       `json:"hasMoreRows"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/api/logs/request-logs", query: query, out: &reply})
	return reply.Rows, reply.More, err
}
