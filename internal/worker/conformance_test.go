package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/worker"
)

// The conformance suite of invocations runs on both forms of a backend: a fleet in
// this process, and a client of a server of the same fleet.
func TestInvocations(t *testing.T) {
	m := newMachine(t)
	for _, form := range []struct {
		name    string
		backend worker.Backend
	}{
		{"in this process", m.backend},
		{"over a socket", m.client},
	} {
		t.Run(form.name, func(t *testing.T) {
			for _, c := range []struct {
				name string
				test func(*stage)
			}{
				{"a body streams both ways", bodyStreamsBothWays},
				{"trailers pass both ways", trailersPassBothWays},
				{"header fields keep their bytes", headerFieldsKeepTheirBytes},
				{"HEAD has a length and no body", headHasNoBody},
				{"204 has no body", noContent},
				{"an interim status is no response", interimStatusIsNoResponse},
				{"interim responses precede the response", interimResponses},
				{"an aborted upload is its own error", abortedUpload},
				{"an aborted download ends the function's work", abortedDownload},
				{"a read in progress ends with Close", closeDuringARead},
				{"a canceled request ends before its response", canceledBeforeTheResponse},
				{"a canceled request ends in its response", canceledInTheResponse},
				{"a request canceled at any moment leaves nothing", canceledAtAnyMoment},
				{"errors keep their kind", errorsKeepTheirKind},
				{"a response that breaks off is an error", brokenResponse},
				{"a timeout comes before the response", timeoutBeforeTheResponse},
				{"a timeout cuts the response off", timeoutInTheResponse},
				{"a full queue refuses without reading the body", fullQueue},
				{"large bodies pass both ways", largeBodies},
				{"a body of known length has its length", knownLength},
				{"a shorter body than announced is an error", shortBody},
				{"an unread body delays no other request", unreadBody},
				{"work continues after the response", workAfterTheResponse},
				{"a purge after the response arrives", purgeAfterTheResponse},
				{"two hundred requests at once", manyAtOnce},
				{"protocols are switched", protocolSwitch},
				{"a refused switch is a response", refusedSwitch},
				{"the record is complete", recordIsComplete},
				{"the record of a crash is complete", recordOfACrash},
			} {
				t.Run(c.name, func(t *testing.T) { c.test(&stage{T: t, machine: m, backend: form.backend}) })
			}
		})
	}
}

func bodyStreamsBothWays(s *stage) {
	r, w := io.Pipe()
	resp, _, err := s.invoke(s.Context(), s.request(http.MethodPost, "/echo", io.MultiReader(strings.NewReader("begun "), r)))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	s.read(resp.Body, "begun ")
	for _, piece := range []string{"first", "second", "the third"} {
		if _, err := io.WriteString(w, piece); err != nil {
			s.Fatal(err)
		}
		s.read(resp.Body, piece) // before the next piece is sent
	}
	w.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		s.Errorf("unread: %q, %v", rest, err)
	}
}

func trailersPassBothWays(s *stage) {
	req := s.request(http.MethodPost, "/trailers", nil)
	req.Trailer = http.Header{"X-Sum": nil}
	req.ContentLength = -1
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("body"), iotest.ErrReader(io.EOF)))
	req.Body = &trailing{req.Body, func() { req.Trailer["X-Sum"] = []string{"of the request"} }}
	resp, text, _ := s.do(req)
	if text != "body of the request" || resp.Trailer.Get("X-Sum") != "of the response" {
		s.Errorf("got %q with the trailer %v", text, resp.Trailer)
	}
}

// trailing is a body that sets trailer fields at its end.
type trailing struct {
	io.ReadCloser

	atEnd func()
}

func (b *trailing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.atEnd()
	}
	return n, err
}

func headerFieldsKeepTheirBytes(s *stage) {
	req := s.request(http.MethodGet, "/header?a=%20b&c", nil)
	req.URL.Path, req.URL.RawPath = "/header", "/header"
	req.Header = http.Header{"X-Latin": {"caf\xe9"}, "X-Twice": {"a", "b"}, "User-Agent": {""}, "x-lower": {"kept"}, "Cookie": {"a=1", "b=2"}}
	resp, text, _ := s.do(req)
	if want := `/header?a=%20b&c app.example.com 636166e9 a, b undefined kept a=1; b=2`; text != want {
		s.Errorf("the function got %s, want %s", text, want)
	}
	if got := resp.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1", "b=2"}) || resp.Header.Get("X-Latin") != "café" {
		s.Errorf("the response has %q", resp.Header)
	}
}

func headHasNoBody(s *stage) {
	resp, text, _ := s.do(s.request(http.MethodHead, "/sized", nil))
	if text != "" || resp.Header.Get("Content-Length") != "5" || resp.ContentLength != 5 {
		s.Errorf("got %q with the length %d, %v", text, resp.ContentLength, resp.Header)
	}
	resp, inv, err := s.invoke(s.Context(), s.request(http.MethodHead, "/sized", nil))
	if err != nil {
		s.Fatal(err)
	}
	resp.Body.Close() // unread
	if inv.Memory == 0 {
		s.Error("the record is incomplete")
	}
}

func noContent(s *stage) {
	resp, text, _ := s.do(s.request(http.MethodGet, "/none", nil))
	if resp.StatusCode != http.StatusNoContent || text != "" {
		s.Errorf("got %s %q", resp.Status, text)
	}
}

func interimStatusIsNoResponse(s *stage) {
	_, _, err := s.invoke(s.Context(), s.request(http.MethodGet, "/interim", nil))
	if !errors.Is(err, lateen.ErrFunctionNoResponse) || lateen.CodeOf(err) != lateen.Faulted {
		s.Errorf("the error is %v", err)
	}
}

func interimResponses(s *stage) {
	if resp, text, _ := s.do(s.request(http.MethodGet, "/hints", nil)); resp.StatusCode != http.StatusOK || text != "final" {
		s.Errorf("got %s %q", resp.Status, text)
	}
}

func abortedUpload(s *stage) {
	lost := errors.New("lost the client")
	id := lateen.NewID[lateen.RequestID]("req_", time.Now())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, inv, err := s.invoke(lateen.WithRequestID(s.Context(), id), s.request(http.MethodPost, "/upload", r))
		if inv.Instance == "" {
			s.Error("the record is incomplete")
		}
		ended <- err
	}()
	if _, err := io.WriteString(w, "some"); err != nil {
		s.Fatal(err)
	}
	s.machine.awaitOf(s.T, id, "/upload got 4")
	w.CloseWithError(lost)
	s.machine.awaitOf(s.T, id, "/upload broke off")
	if err := <-ended; !errors.Is(err, lost) {
		s.Errorf("the error is %v, want that of the body", err)
	}
}

func abortedDownload(s *stage) {
	id := lateen.NewID[lateen.RequestID]("req_", time.Now())
	resp, inv, err := s.invoke(lateen.WithRequestID(s.Context(), id), s.request(http.MethodGet, "/endless", nil))
	if err != nil {
		s.Fatal(err)
	}
	s.read(resp.Body, "begun")
	resp.Body.Close()
	if inv.Memory == 0 || inv.Instance == "" {
		s.Errorf("the record is incomplete: %+v", inv)
	}
	s.machine.awaitOf(s.T, id, "/endless closed")
}

func closeDuringARead(s *stage) {
	resp, inv, err := s.invoke(s.Context(), s.request(http.MethodGet, "/endless", nil))
	if err != nil {
		s.Fatal(err)
	}
	ended := make(chan error, 1)
	reading := make(chan struct{})
	go func() {
		_, err := io.Copy(writer(func(p []byte) (int, error) {
			close(reading)
			return len(p), nil
		}), resp.Body)
		ended <- err
	}()
	<-reading
	resp.Body.Close()
	if err := <-ended; err == nil {
		s.Error("the body ended like a complete one")
	}
	if inv.Memory == 0 {
		s.Errorf("the record is incomplete: %+v", inv)
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func canceledBeforeTheResponse(s *stage) {
	gone := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	id := lateen.NewID[lateen.RequestID]("req_", time.Now())
	ended := make(chan *lateen.Invocation, 1)
	go func() {
		_, inv, err := s.invoke(lateen.WithRequestID(ctx, id), s.request(http.MethodGet, "/silent", nil))
		if !errors.Is(err, gone) {
			s.Errorf("the error is %v, want the context's cause", err)
		}
		ended <- inv
	}()
	s.machine.awaitOf(s.T, id, "silent")
	cancel(gone)
	if inv := <-ended; inv.Instance == "" || inv.Memory == 0 {
		s.Errorf("the record is incomplete: %+v", inv)
	}
	s.machine.awaitOf(s.T, id, "closed")
}

func canceledInTheResponse(s *stage) {
	gone := errors.New("the client has gone")
	ctx, cancel := context.WithCancelCause(s.Context())
	defer cancel(nil)
	resp, inv, err := s.invoke(ctx, s.request(http.MethodGet, "/endless", nil))
	if err != nil {
		s.Fatal(err)
	}
	s.read(resp.Body, "begun")
	cancel(gone)
	if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, gone) {
		s.Errorf("the error is %v, want the context's cause", err)
	}
	resp.Body.Close()
	if inv.Memory == 0 {
		s.Errorf("the record is incomplete: %+v", inv)
	}
}

func canceledAtAnyMoment(s *stage) {
	for k := range 100 {
		ctx, cancel := context.WithTimeout(s.Context(), time.Duration(k*20)*time.Microsecond)
		resp, _, err := s.invoke(ctx, s.request(http.MethodPost, "/echo", strings.NewReader("body")))
		if err == nil {
			resp.Body.Close()
		}
		cancel()
	}
	if _, text, _ := s.do(s.request(http.MethodPost, "/echo", strings.NewReader("next"))); text != "next" {
		s.Errorf("the next response is %q", text)
	}
	s.machine.awaitIdle(s.T)
}

func errorsKeepTheirKind(s *stage) {
	for _, c := range []struct {
		path string
		want *lateen.Error
		text string // in the message
	}{
		{"/throws", lateen.ErrFunctionFailed, ""},
		{"/exits", lateen.ErrFunctionFailed, ""},
		{"/missing", lateen.ErrFunctionFailed, "not among the function's files"},
		{"/no-tree", lateen.ErrFunctionStart, ""},
		{"/unknown-runtime", lateen.ErrFunctionRuntime, ""},
	} {
		_, inv, err := s.invoke(s.Context(), s.request(http.MethodGet, c.path, nil))
		got, ok := errors.AsType[*lateen.Error](err)
		if !ok || !errors.Is(err, c.want) || got.Code != c.want.Code || got.Hint == "" && c.want.Hint != "" || !strings.Contains(err.Error(), c.text) {
			s.Errorf("%s: %#v, want %v", c.path, err, c.want)
		}
		if want := s.machine.spec(c.path).Name; inv.Function != want {
			s.Errorf("%s: the record is of %q, want %q", c.path, inv.Function, want)
		}
	}
}

func brokenResponse(s *stage) {
	resp, _, err := s.invoke(s.Context(), s.request(http.MethodGet, "/breaks", nil))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if string(text) != "begun" || lateen.CodeOf(err) != lateen.Faulted {
		s.Errorf("read %q and the error %v, want one of the function", text, err)
	}
}

func timeoutBeforeTheResponse(s *stage) {
	_, inv, err := s.invoke(s.Context(), s.request(http.MethodGet, "/slow", nil))
	if !errors.Is(err, lateen.ErrFunctionTimeout) || inv.Instance == "" {
		s.Errorf("the error is %v, the record %+v", err, inv)
	}
}

func timeoutInTheResponse(s *stage) {
	resp, inv, err := s.invoke(s.Context(), s.request(http.MethodGet, "/slow?begun", nil))
	if err != nil {
		s.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, lateen.ErrFunctionTimeout) {
		s.Errorf("the error is %v", err)
	}
	resp.Body.Close()
	if inv.Memory == 0 {
		s.Errorf("the record is incomplete: %+v", inv)
	}
}

// The function /single has one instance for one request at a time, and its fleet a
// queue of queueLength.
func fullQueue(s *stage) {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	id := lateen.NewID[lateen.RequestID]("req_", time.Now())
	ask := func(ctx context.Context) {
		if resp, _, err := s.invoke(ctx, s.request(http.MethodGet, "/single", nil)); err == nil {
			resp.Body.Close()
		}
	}
	waiting.Go(func() { ask(lateen.WithRequestID(ctx, id)) })
	s.machine.awaitOf(s.T, id, "silent")
	for range queueLength {
		waiting.Go(func() { ask(ctx) })
	}
	s.machine.awaitQueue(s.T, "/single", queueLength)
	read := iotest.DataErrReader(writerReader(func([]byte) (int, error) {
		s.Error("the body of a refused request was read")
		return 0, io.EOF
	}))
	_, _, err := s.invoke(s.Context(), s.request(http.MethodPost, "/single", read))
	if !errors.Is(err, lateen.ErrFunctionThrottled) || lateen.CodeOf(err) != lateen.Unavailable {
		s.Errorf("the error is %v", err)
	}
}

type writerReader func(p []byte) (int, error)

func (r writerReader) Read(p []byte) (int, error) { return r(p) }

func largeBodies(s *stage) {
	const size = 100 << 20
	sum := crc32.NewIEEE()
	resp, _, err := s.invoke(s.Context(), s.request(http.MethodPost, "/echo", io.TeeReader(io.LimitReader(pattern{}, size), sum)))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	got := crc32.NewIEEE()
	if n, err := io.Copy(got, resp.Body); n != size || err != nil || got.Sum32() != sum.Sum32() {
		s.Errorf("read %d bytes (%v) with the sum %x, want %x", n, err, got.Sum32(), sum.Sum32())
	}
}

// pattern is an endless body.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

func knownLength(s *stage) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	req := s.request(http.MethodPut, "/length", bytes.NewReader(body))
	req.ContentLength = int64(len(body))
	if _, text, _ := s.do(req); text != fmt.Sprintf("%d undefined %d", len(body), len(body)) {
		s.Errorf("the function got %s", text)
	}
	req = s.request(http.MethodPut, "/length", bytes.NewReader(body))
	if _, text, _ := s.do(req); text != fmt.Sprintf("undefined chunked %d", len(body)) {
		s.Errorf("the function got %s", text)
	}
	if _, text, _ := s.do(s.request(http.MethodPost, "/length", nil)); text != "0 undefined 0" {
		s.Errorf("the function got %s", text)
	}
}

func shortBody(s *stage) {
	req := s.request(http.MethodPut, "/length", strings.NewReader("short"))
	req.ContentLength = 10
	if _, _, err := s.invoke(s.Context(), req); !errors.Is(err, io.ErrUnexpectedEOF) {
		s.Errorf("the error is %v", err)
	}
}

func unreadBody(s *stage) {
	unread, _, err := s.invoke(s.Context(), s.request(http.MethodGet, "/flood", nil))
	if err != nil {
		s.Fatal(err)
	}
	defer unread.Body.Close()
	upload, _, err := s.invoke(s.Context(), s.request(http.MethodPost, "/ignores", pattern{}))
	if err != nil {
		s.Fatal(err)
	}
	defer upload.Body.Close()
	if _, text, _ := s.do(s.request(http.MethodPost, "/echo", strings.NewReader("passes"))); text != "passes" {
		s.Errorf("got %q", text)
	}
}

func workAfterTheResponse(s *stage) {
	id := lateen.NewID[lateen.RequestID]("req_", time.Now())
	resp, _, err := s.invoke(lateen.WithRequestID(s.Context(), id), s.request(http.MethodGet, "/later", nil))
	if err != nil {
		s.Fatal(err)
	}
	s.read(resp.Body, "response")
	resp.Body.Close()
	if line := s.machine.awaitOf(s.T, id, "after the response"); line.Function != s.machine.spec("/later").Name {
		s.Errorf("the line is %+v", line)
	}
}

func purgeAfterTheResponse(s *stage) {
	s.do(s.request(http.MethodGet, "/purges?tag="+url.QueryEscape(s.Name()), nil))
	s.machine.awaitPurge(s.T, s.Name())
}

func manyAtOnce(s *stage) {
	var all sync.WaitGroup
	var answered atomic.Int32
	for k := range 200 {
		all.Go(func() {
			body := strings.Repeat(strconv.Itoa(k), 1000+k)
			resp, inv, err := s.invoke(s.Context(), s.request(http.MethodPost, "/echo", strings.NewReader(body)))
			if err != nil {
				s.Error(err)
				return
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(text) != body || err != nil || inv.Instance == "" {
				s.Errorf("request %d got %d bytes of %d: %v", k, len(text), len(body), err)
				return
			}
			answered.Add(1)
		})
	}
	all.Wait()
	if n := answered.Load(); n != 200 {
		s.Errorf("%d requests were answered", n)
	}
}

func protocolSwitch(s *stage) {
	resp, inv, err := s.invoke(s.Context(), s.upgrade("echo"))
	if err != nil {
		s.Fatal(err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "echo" || !ok {
		s.Fatalf("got %s with %T", resp.Status, resp.Body)
	}
	for _, word := range []string{"one", "two"} {
		if _, err := io.WriteString(conn, word); err != nil {
			s.Fatal(err)
		}
		s.read(conn, "echo "+word)
	}
	conn.Close()
	if inv.Memory == 0 {
		s.Errorf("the record is incomplete: %+v", inv)
	}
}

func refusedSwitch(s *stage) {
	if resp, text, _ := s.do(s.upgrade("other")); resp.StatusCode != http.StatusOK || text != "refused" {
		s.Errorf("got %s %q", resp.Status, text)
	}
}

func recordIsComplete(s *stage) {
	resp, inv, err := s.invoke(s.Context(), s.request(http.MethodGet, "/burns", nil))
	if err != nil {
		s.Fatal(err)
	}
	if inv.Function != s.machine.spec("/burns").Name || inv.Instance == "" || inv.Start == "" || inv.Handler == 0 {
		s.Errorf("at the head the record is %+v", inv)
	}
	instance := inv.Instance
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		s.Fatal(err)
	}
	resp.Body.Close()
	if inv.CPU < 10*time.Millisecond || inv.Memory == 0 || inv.Instance != instance {
		s.Errorf("at the end the record is %+v", inv)
	}
}

func recordOfACrash(s *stage) {
	_, inv, err := s.invoke(s.Context(), s.request(http.MethodGet, "/exits", nil))
	if err == nil || inv.Instance == "" || inv.Start == "" {
		s.Errorf("the error is %v, the record %+v", err, inv)
	}
}
