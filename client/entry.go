package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Entry is a request with the lines that user code wrote during it. Lines outside of
// any request have no method.
type Entry struct {
	lateen.Record

	Lines []lateen.LogLine `json:"lines,omitempty"`
	// Cursor is the position of the entry in the log, for [LogQuery.Before]. The cursor
	// of an entry of [Client.FollowEntries] is also for [LogQuery.After].
	Cursor string `json:"cursor"`
	// Lost is the number of requests between the previous entry of a followed log and
	// this one that the platform removed before it sent them.
	Lost int `json:"lost,omitempty"`
}

// Entries returns at most limit requests, newest first.
func (c *Client) Entries(ctx context.Context, q LogQuery, limit int) ([]Entry, error) {
	query := q.values()
	query.Set("limit", strconv.Itoa(limit))
	var list []Entry
	for e, err := range c.entries(ctx, q.Project, query) {
		if err != nil {
			return list, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Request returns the request with an id, in any project of the team.
func (c *Client) Request(ctx context.Context, id lateen.RequestID) ([]Entry, error) {
	var reply struct {
		Entries []Entry `json:"entries"`
	}
	err := c.do(ctx, call{method: http.MethodGet, path: "/v1/requests" + path(string(id)), out: &reply})
	return reply.Entries, err
}

func (c *Client) entries(ctx context.Context, project lateen.ProjectID, query url.Values) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		resp, err := c.send(ctx, entriesCall(project, query))
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer resp.Body.Close()
		lines(ctx, resp.Body, yield)
	}
}

func entriesCall(project lateen.ProjectID, query url.Values) call {
	return call{method: http.MethodGet, path: "/v1/projects" + path(string(project), "logs"), query: query}
}

// values are the query parameters of q except its project.
func (q *LogQuery) values() url.Values {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" && value != "0" {
			query.Set(name, value)
		}
	}
	set("before", q.Before)
	set("after", q.After)
	set("page", strconv.Itoa(q.Page))
	set("deploymentId", string(q.Deployment))
	set("environment", string(q.Environment))
	set("branch", q.Branch)
	set("level", strings.Join(q.Levels, ","))
	set("statusCode", q.Status)
	set("source", q.Source)
	set("search", q.Search)
	set("requestId", string(q.Request))
	set("startDate", strconv.FormatInt(int64(q.Since), 10))
	set("endDate", strconv.FormatInt(int64(q.Until), 10))
	return query
}
