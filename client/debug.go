package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// DebugBundle writes a .tar.gz with the state of the platform's process to w.
func (c *Client) DebugBundle(ctx context.Context, w io.Writer) error {
	return c.download(ctx, call{method: http.MethodGet, path: "/debug/bundle"}, w)
}

// Profile writes a profile of the platform's process to w, in the format of pprof.
// With seconds 0 the platform chooses the length of a profile that has one.
func (c *Client) Profile(ctx context.Context, name string, seconds int, w io.Writer) error {
	k := call{method: http.MethodGet, path: "/debug/pprof" + path(name)}
	if seconds != 0 {
		k.query = url.Values{"seconds": {strconv.Itoa(seconds)}}
	}
	return c.download(ctx, k, w)
}

// download writes the body of a response to w.
func (c *Client) download(ctx context.Context, k call, w io.Writer) error {
	resp, err := c.send(ctx, k)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("download %s: %w", k.path, err)
	}
	return nil
}
