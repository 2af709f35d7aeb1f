package worker

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// protocol is the number of the protocol. It increases with each change of the messages,
// which a test compares with testdata/protocol.golden, and with each other change that a
// process of the earlier number would misunderstand. It is part of the paths, so that a process of
// another number, also one that knows no numbers, executes nothing of a request.
const protocol = 3

// Fields of requests and responses. Responses have all of them, requests the version.
const (
	protocolField = "Lateen-Protocol"
	versionField  = "Lateen-Version" // of the program
	processField  = "Lateen-Process" // random name of the worker's process
)

// pathOf returns the path of a call in the present protocol.
func pathOf(call string) string { return "/v" + strconv.Itoa(protocol) + call }

// roundTrip sends a request. If the worker speaks another protocol, it has not executed
// the request, and the error is [ErrIncompatible].
func (c *Client) roundTrip(req *http.Request) (*http.Response, error) {
	next := c.successor.announced()
	req.Header.Set(versionField, c.o.Version)
	resp, err := c.transport.RoundTrip(req)
	if err != nil || resp.Header.Get(protocolField) == strconv.Itoa(protocol) {
		return resp, err
	}
	_ = resp.Body.Close() // it is not read
	theirs := cmp.Or(resp.Header.Get(versionField), "unknown")
	err = ErrIncompatible.With("the worker has version %s with protocol %s, and the control process version %s with protocol %d",
		theirs, cmp.Or(resp.Header.Get(protocolField), "unknown"), c.o.Version, protocol).
		WithHint("upgrade both processes to the same version: this one has %s, the worker %s", c.o.Version, theirs)
	if c.successor.incompatible(next, cmp.Or(resp.Header.Get(processField), "unknown")) {
		c.o.Log.ErrorContext(req.Context(), "functions do not run", "err", err)
	}
	return nil, err
}

// identify adds the fields of this process to responses.
func (s *Server) identify(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(protocolField, strconv.Itoa(protocol))
		w.Header().Set(versionField, s.o.Version)
		w.Header().Set(processField, s.process)
		h.ServeHTTP(w, r)
	})
}

// refuseProtocol answers requests of other protocols.
func (s *Server) refuseProtocol(w http.ResponseWriter, r *http.Request) {
	number, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v"), "/")
	theirs := cmp.Or(r.Header.Get(versionField), "unknown")
	err := ErrIncompatible.With("the control process has version %s with protocol %s, and the worker version %s with protocol %d", theirs, number, s.o.Version, protocol)
	if s.unlike(theirs) {
		s.o.Log.ErrorContext(r.Context(), "a control process is refused", "err", err)
	}
	http.Error(w, err.Error(), http.StatusNotFound)
}

// unlike notes the version of a refused client. It returns false if the last one had it.
func (s *Server) unlike(version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	other := s.refused != version
	s.refused = version
	return other
}

// unreachable returns the error of a request that got no response.
func unreachable(err error) error {
	if errors.Is(err, ErrIncompatible) {
		return err
	}
	return ErrUnreachable.Because(err)
}
