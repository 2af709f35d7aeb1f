//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

func queryOf(d *client.Deployment, request string) client.LogQuery {
	return client.LogQuery{Project: d.Project, Deployment: d.ID, Request: lateen.RequestID(request)}
}

// follow runs a command that continues until the test ends, and returns its output.
func (c *command) follow(args ...string) <-chan string {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	cmd := c.prepare(ctx, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	heard := make(chan string, 1000)
	go func() {
		defer close(heard)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			heard <- lines.Text()
		}
	}()
	c.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was stopped
	})
	return heard
}

// hears requests path with a marker from the site, again and again until a follower
// is connected and prints the function's log line.
func (s site) hears(t *testing.T, heard <-chan string, path, text string) {
	t.Helper()
	var markers []string
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(time.Minute)
	for {
		select {
		case line, ok := <-heard:
			if !ok {
				t.Fatal("the follower ended by itself")
			}
			if slices.ContainsFunc(markers, func(m string) bool { return strings.Contains(line, fmt.Sprintf(text, m)) }) {
				return
			}
		case <-again.C:
			marker := fmt.Sprintf("m%d", time.Now().UnixNano())
			markers = append(markers, marker)
			if r := s.get(t, path+marker); r.Status != 200 {
				t.Fatalf("%s answers %d", path, r.Status)
			}
		case <-deadline:
			t.Fatal("the follower heard nothing within a minute")
		}
	}
}

func TestLinesOfARequestAreReadable(t *testing.T) {
	t.Parallel()
	p := common(t)
	dir := project(t, "functions", "logbook", "preview")
	cli := lateenCLI(t, p, dir)
	s := cli.deploy("deploy")

	t.Run("joined to their request", func(t *testing.T) {
		r := s.get(t, "/api/log?marker=joined")
		want := []string{"stdout line, marker joined"}
		for _, level := range []string{"debug", "log", "info", "warn", "error"} {
			want = append(want, level+" line, marker joined")
		}
		s.logged(t, r.requestID(), want...)
	})
	t.Run("work that outlives the response", func(t *testing.T) {
		r := s.get(t, "/api/background?marker=later")
		s.logged(t, r.requestID(), "background work done, marker later")
	})
	t.Run("by lateen logs", func(t *testing.T) {
		s.get(t, "/api/log?marker=searched")
		eventually(t, func() error {
			if r := cli.try("logs", "--search", "searched"); r.Code != 0 || !strings.Contains(r.Stdout, "warn line, marker searched") {
				return errNotYet
			}
			return nil
		})
	})
	t.Run("by lateen logs --follow", func(t *testing.T) {
		follower := lateenCLI(t, p, dir)
		s.hears(t, follower.follow("logs", "--follow", s.host), "/api/log?marker=", "error line, marker %s")
	})
	t.Run("by vercel logs", func(t *testing.T) {
		follower := vercel(t, p, dir)
		follower.run("link", "--yes", "--project", "logbook")
		follower.run("logs", s.host, "--no-follow").says(t, "marker joined")
		s.hears(t, follower.follow("logs", s.host, "--follow", "--json"), "/api/log?marker=", "error line, marker %s")
	})
}
