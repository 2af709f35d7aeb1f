package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"

	"github.com/lateen-dev/lateen"
)

// LogLine is a line of the live log: one that user code wrote or, with the
// source "request", a request that made it write nothing.
type LogLine struct {
	ID        string        `json:"rowId"`
	Time      lateen.Millis `json:"timestampInMs"`
	Level     string        `json:"level"`
	Source    string        `json:"source"`
	Message   string        `json:"message"`
	Truncated bool          `json:"messageTruncated"`
	Host      string        `json:"domain"`
	Method    string        `json:"requestMethod"`
	Path      string        `json:"requestPath"`
	Status    int           `json:"responseStatusCode"`
}

// TailLogs follows what a deployment logs until ctx ends, over as many
// connections as that takes.
func (c *Client) TailLogs(ctx context.Context, project lateen.ProjectID, deployment lateen.DeploymentID) iter.Seq2[LogLine, error] {
	k := call{method: http.MethodGet, path: "/v1/projects" + path(string(project), "deployments", string(deployment), "runtime-logs"), query: url.Values{"format": {"lines"}}}
	return func(yield func(LogLine, error) bool) {
		for ctx.Err() == nil {
			resp, err := c.send(ctx, k)
			if err != nil {
				yield(LogLine{}, err)
				return
			}
			again := false
			lines(ctx, resp.Body, func(l LogLine, err error) bool {
				if err != nil {
					again = true // the connection was lost: ask for another
					return false
				}
				if l.Source == "delimiter" {
					again = true
					return false
				}
				return yield(l, nil)
			})
			resp.Body.Close()
			if !again || !pause(ctx, time.Second) {
				return
			}
		}
	}
}

// LogQuery chooses requests; a zero field chooses all.
type LogQuery struct {
	Project     lateen.ProjectID // required
	Deployment  lateen.DeploymentID
	Environment string
	Branch      string
	Levels      []string
	Status      string // 500, or 5xx
	Source      string
	Search      string
	Request     lateen.RequestID
	Since       lateen.Millis // 0 is a day ago
	Until       lateen.Millis
	Before      string // the Cursor of the last entry of the page before; for [Client.Entries]
	Page        int    // from 0; for [Client.Logs]
}

// LogEntry is a request with the lines that it made user code write.
type LogEntry struct {
	Request    lateen.RequestID    `json:"requestId"`
	Time       lateen.Millis       `json:"timestamp"`
	Deployment lateen.DeploymentID `json:"deploymentId"`
	Method     string              `json:"requestMethod"`
	Host       string              `json:"domain"`
	Path       string              `json:"requestPath"`
	Status     int                 `json:"statusCode"`
	Target     string              `json:"environment"`
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
