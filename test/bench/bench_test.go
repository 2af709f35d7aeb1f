package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestQuantilesAreByNearestRank(t *testing.T) {
	var s sample
	for i := 100; i > 0; i-- {
		s = append(s, time.Duration(i))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.01: 1, 0.5: 50, 0.9: 90, 0.99: 99, 1: 100} {
		if got := s.quantile(q); got != want {
			t.Errorf("quantile %g of 1 to 100 is %d, want %d", q, got, want)
		}
	}
	if s[0] != 100 {
		t.Error("the sample was sorted: it is no longer in the order of its records")
	}
	if got := (sample{}).quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %d", got)
	}
}

func TestTypicalIsTheMedianOfRounds(t *testing.T) {
	got := typical([]load{
		{requests: 10_000, rate: 300, p50: 3, p99: 30, most: 99, cpu: 3 * time.Second},
		{requests: 10_000, rate: 100, p50: 1, p99: 90, most: 12, cpu: time.Second},
		{requests: 20_000, rate: 200, p50: 2, p99: 60, most: 70, cpu: 4 * time.Second, failures: 4},
	})
	want := load{requests: 40_000, rate: 200, p50: 2, p99: 60, most: 99, cpu: 2 * time.Second, failures: 4}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTablesAlignAndMarkFailures(t *testing.T) {
	table := table{caption: "Two servers.", head: []string{"server", "requests/s"}}
	table.add(ours, "Lateen", "12345")
	table.add(peer, "Caddy", "1234")
	table.fail(errors.New("it has\nno port"), "nginx")
	var out bytes.Buffer
	table.print(&out, func(_, text string) string { return text })
	want := "\n  Two servers.\n  server  requests/s\n  Lateen       12345\n  Caddy         1234\n  nginx   failed: it has no port\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
	wantPage := "Two servers.\n\n| server | requests/s |\n| --- | ---: |\n| **Lateen** | 12345 |\n| Caddy | 1234 |\n| nginx | failed: it has no port |\n"
	if got := table.markdown(); got != wantPage {
		t.Errorf("got  %q\nwant %q", got, wantPage)
	}
}

func TestLongReasonsShowTheirEnd(t *testing.T) {
	var table table
	table.fail(errors.New(strings.Repeat("é", 200)+" no such file"), "nginx")
	reason := table.rows[0].cells[1]
	if !strings.HasSuffix(reason, "é no such file") || len(reason) > maxReason+len("failed: …") {
		t.Errorf("%d bytes: %s", len(reason), reason)
	}
}

func TestBenchmarksAreSelectedByName(t *testing.T) {
	chosen, err := choose(platformBook().chapters, "warm, router")
	if err != nil || len(chosen) != 2 || chosen[0].name != "warm" || chosen[1].name != "router" {
		t.Errorf("chose %v, %v", chosen, err)
	}
	if _, err := choose(platformBook().chapters, "warm,nonesuch"); err == nil {
		t.Error("a chapter that is not there was chosen")
	}
}

func TestVersionsAreFoundInTheOutputOfPrograms(t *testing.T) {
	for text, want := range map[string]string{
		"nginx version: nginx/1.22.1\n":               "1.22.1",
		"wrk debian/4.1.0-3+b2 [epoll] Copyright (C)": "4.1.0",
		"v24.21.0":                           "24.21.0",
		"sh: 1: caddy: not found":            "missing",
		"Vercel CLI 60.1.3 (Node.js 24.1.0)": "60.1.3",
	} {
		if got := version(text); got != want {
			t.Errorf("version of %q is %q, want %q", text, got, want)
		}
	}
}

func TestSharesAreOfAllTicks(t *testing.T) {
	spent := ticks{all: 300, idle: 200, steal: 11}.sub(ticks{all: 100, idle: 20, steal: 1})
	if got := spent.share(spent.idle); got != 0.9 {
		t.Errorf("idle %g", got)
	}
	if got := spent.share(spent.steal); got != 0.05 {
		t.Errorf("steal %g", got)
	}
	if got := (ticks{}).share(1); got != 0 {
		t.Errorf("a share of no time is %g", got)
	}
}
