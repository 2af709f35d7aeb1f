package wasi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen/internal/guest"
)

// response parses a module's output: a head in the form of CGI programs (RFC 3875,
// section 6), and a body.
type response struct {
	w          http.ResponseWriter
	controller *http.ResponseController

	head      []byte // part of the head received so far
	begun     bool   // the head is sent
	malformed string // description of a malformed response; "": none is known
	left      int64  // bytes of the body that Content-Length still allows; negative: unlimited
}

func newResponse(w http.ResponseWriter) *response {
	r := &response{w: w, controller: http.NewResponseController(w), left: -1}
	_ = r.controller.EnableFullDuplex() // HTTP/1 servers support it
	return r
}

// errMalformed ends a module with a malformed response.
var errMalformed = errors.New("the response is malformed")

// Write receives a part of the response and sends it at once.
func (r *response) Write(p []byte) (int, error) {
	n := len(p)
	if !r.begun {
		body, err := r.begin(p)
		if err != nil || !r.begun {
			return n, err
		}
		p = body
	}
	if r.left >= 0 { // the client would parse excess bytes as the next response
		p = p[:min(int64(len(p)), r.left)]
		r.left -= int64(len(p))
	}
	if len(p) > 0 {
		if _, err := r.w.Write(p); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			return 0, err
		}
	}
	return n, r.controller.Flush()
}

// begin receives a part of the head, and sends the head once it is complete. It returns
// the bytes after the head.
func (r *response) begin(p []byte) (body []byte, err error) {
	before := max(0, len(r.head)-3)
	r.head = append(r.head, p...)
	end := headEnd(r.head, before)
	switch {
	case end < 0 && len(r.head) > maxHead, end > maxHead:
		r.malformed = "the head of its response is too long"
		return nil, errMalformed
	case end < 0:
		return nil, nil
	}
	body = r.head[end:]
	if r.malformed = r.send(r.head[:end]); r.malformed != "" {
		return nil, errMalformed
	}
	r.head, r.begun = nil, true
	return body, nil
}

// headEnd returns the offset after the empty line that ends a head, at or after from;
// negative if there is none.
func headEnd(head []byte, from int) int {
	for at := from; at < len(head); at++ {
		if head[at] != '\n' {
			continue
		}
		line := head[:at]
		line = line[bytes.LastIndexByte(line, '\n')+1:]
		if len(line) == 0 || len(line) == 1 && line[0] == '\r' {
			return at + 1
		}
	}
	return -1
}

// send sends the head, or returns a description of its fault.
func (r *response) send(head []byte) (malformed string) {
	fields, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader()
	switch {
	case err != nil:
		return "the head of its response is malformed: " + strings.TrimPrefix(err.Error(), "malformed MIME header: ")
	case len(fields) == 0:
		return "its response has no head; a head begins with Content-Type, Location or Status"
	}
	status := http.StatusOK
	if fields.Get("Location") != "" {
		status = http.StatusFound
	}
	if text := fields.Get("Status"); text != "" {
		code, _, _ := strings.Cut(text, " ")
		if status, err = strconv.Atoi(code); err != nil || status < http.StatusOK || status > 999 {
			return fmt.Sprintf("its response has the status %q", text)
		}
	}
	h := r.w.Header()
	for name, values := range fields {
		if !isInternal(name) {
			h[name] = values
		}
	}
	if length, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && length >= 0 && len(h["Content-Length"]) == 1 {
		r.left = length
	} else {
		h.Del("Content-Length")
	}
	for _, name := range []string{"Date", "Content-Type"} { // prevents the server's default values
		if _, ok := h[name]; !ok {
			h[name] = nil
		}
	}
	r.w.WriteHeader(status)
	return ""
}

// isInternal reports whether a field of a head concerns the connection, the status or
// the guest, so that it is no header field of the response.
func isInternal(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Status", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return len(name) >= len(guest.HeaderPrefix) && strings.EqualFold(name[:len(guest.HeaderPrefix)], guest.HeaderPrefix)
}
