package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/guest"
)

const (
	lambdaPath     = "/2018-06-01/runtime"
	maxEvent       = 128 << 20 // bytes of a request's body, or of a whole response
	maxLambdaErr   = 64 << 10
	maxUndelivered = 1024 // more than the number of concurrent requests
)

// lambda is the face of a program that asks the AWS Lambda Runtime API for its
// requests, one at a time.
type lambda struct {
	spec    guest.Activate
	control *guest.Sender
	events  event // encoding of requests for the program
	api     net.Listener

	began       sync.Once
	asked       chan struct{}    // closed once the program has asked for its first request
	failed      chan error       // receives the reason of a failed initialization, once
	waiting     chan *invocation // requests for the program
	undelivered chan *invocation // invocations that the program did not receive
	current     chan *invocation // the program's current invocation, if any
}

// invocation is a request in progress in the program.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	answer   chan answer // receives exactly one value
}

// answer is the program's response to a request.
type answer struct {
	body    io.Reader // complete, or a stream
	kind    string    // content type
	streams bool
	err     *lambdaError
	done    chan struct{} // closed once body is read
}

// lambdaError is an error in the form of the API.
type lambdaError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
	Stack   []any  `json:"stackTrace"`
}

func (e *lambdaError) text() string {
	text := e.Message
	if e.Type != "" {
		text = e.Type + ": " + text
	}
	return text
}

func newLambda(spec guest.Activate, c *guest.Sender) (*lambda, error) {
	api, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // open for the life of the process
	if err != nil {
		return nil, fmt.Errorf("listen for the program: %w", err)
	}
	l := &lambda{
		spec: spec, control: c, events: vercelEvent{}, api: api, asked: make(chan struct{}),
		failed: make(chan error, 1), waiting: make(chan *invocation), undelivered: make(chan *invocation, maxUndelivered), current: make(chan *invocation, 1),
	}
	if spec.Lambda.Gateway {
		l.events = gatewayEvent{}
	}
	go serveHTTP(api, l.routes())
	return l, nil
}

// serveHTTP answers all requests until the process ends.
func serveHTTP(at net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler} //nolint:gosec // both peers are in this sandbox; the supervisor sets the limits
	_ = server.Serve(at)
}

func (l *lambda) environment() []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + l.api.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=" + l.spec.Lambda.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(l.spec.Lambda.Memory),
		"LAMBDA_TASK_ROOT=" + l.spec.Root,
		"_HANDLER=" + l.spec.Handler,
	}
}

// ready waits for the program to ask for its first request.
func (l *lambda) ready(ctx context.Context) (guest.ServerStarted, error) {
	select {
	case <-l.asked:
		return guest.ServerStarted{}, nil
	case err := <-l.failed:
		return guest.ServerStarted{}, err
	case <-ctx.Done():
		select {
		case err := <-l.failed: // the reason of the exit, which often arrives at the same time
			return guest.ServerStarted{}, err
		default:
			return guest.ServerStarted{}, context.Cause(ctx)
		}
	}
}

func (l *lambda) serve(supervisor net.Listener) { serveHTTP(supervisor, http.HandlerFunc(l.answer)) }

// answer sends a request of the supervisor to the program and its response back.
func (l *lambda) answer(w http.ResponseWriter, r *http.Request) {
	reference := guest.Context{InvocationID: r.Header.Get(guest.HeaderInvocation)}
	reference.RequestID, _ = strconv.ParseUint(r.Header.Get(guest.HeaderRequest), 10, 64)
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), guest.HeaderPrefix) {
			delete(r.Header, name)
		}
	}
	end := guest.End{Context: reference}
	defer func() { l.control.Send(guest.TypeEnd, end) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		end.Error = fail(w, "the request's body: "+err.Error())
		return
	}
	event, err := l.events.encode(r, body, reference)
	if err != nil {
		end.Error = fail(w, err.Error())
		return
	}
	inv := &invocation{id: reference.InvocationID, event: event, answer: make(chan answer, 1)}
	inv.deadline = time.Now().Add(time.Duration(l.spec.Lambda.Timeout) * time.Second)
	select { // a request whose client leaves before this never reaches the program
	case l.waiting <- inv:
	case <-r.Context().Done():
		return
	}
	a := <-inv.answer // even if the client is gone: the program works on it until then
	defer close(a.done)
	if a.err != nil {
		l.logError(reference, a.err)
		end.Error = fail(w, a.err.text())
		return
	}
	if err := l.write(w, a); err != nil {
		end.Error = fail(w, err.Error())
	}
}

// write writes the program's answer as a response. If it returns an error, it has
// written nothing.
func (l *lambda) write(w http.ResponseWriter, a answer) error {
	if a.streams {
		return streamResponse(w, a)
	}
	body, err := io.ReadAll(a.body)
	if err != nil {
		return fmt.Errorf("the program broke off its response: %w", err)
	}
	resp, err := l.events.decode(body)
	if err != nil {
		return err
	}
	resp.writeTo(w)
	return nil
}

// fail writes a failure instead of the program's response.
func fail(w http.ResponseWriter, message string) *guest.Fault {
	w.Header().Set(guest.HeaderFailure, guest.FaultFailed)
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, message) // the reader may be gone
	return &guest.Fault{Reason: guest.FaultFailed, Message: message}
}

// logError writes an error to the log, like output of the program.
func (l *lambda) logError(reference guest.Context, e *lambdaError) {
	text := []byte(e.text())
	for _, frame := range e.Stack {
		if line, err := json.Marshal(frame); err == nil {
			text = append(append(text, "\n    "...), line...)
		}
	}
	l.control.Send(guest.TypeLog, guest.Log{Context: reference, Message: text, Level: "error"})
}

// routes returns the handler of the API for the program.
func (l *lambda) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+lambdaPath+"/invocation/next", l.next)
	mux.HandleFunc("POST "+lambdaPath+"/invocation/{id}/response", l.respond)
	mux.HandleFunc("POST "+lambdaPath+"/invocation/{id}/error", l.respondError)
	mux.HandleFunc("POST "+lambdaPath+"/init/error", l.initError)
	return mux
}

// next gives the program its next request, once there is one. If the program has
// canceled the call, the invocation does not reach it, and the next call gets that
// invocation.
func (l *lambda) next(w http.ResponseWriter, r *http.Request) {
	l.began.Do(func() { close(l.asked) })
	var inv *invocation
	select {
	case inv = <-l.undelivered:
	case inv = <-l.waiting:
	case <-r.Context().Done():
		return
	}
	if r.Context().Err() != nil {
		l.undelivered <- inv
		return
	}
	select {
	case l.current <- inv:
	default:
		inv.answer <- answer{err: &lambdaError{Message: "the program asked for a request while it had one"}, done: make(chan struct{})}
		acknowledge(w, http.StatusConflict)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:local:000000000000:function:"+l.spec.Lambda.Name)
	_, err := w.Write(inv.event)
	if err = errors.Join(err, http.NewResponseController(w).Flush()); err == nil {
		return
	}
	if held := l.take(inv.id); held != nil {
		l.undelivered <- held
	}
}

// take returns the program's current invocation if it has this id.
func (l *lambda) take(id string) *invocation {
	select {
	case inv := <-l.current:
		if inv.id == id {
			return inv
		}
		l.current <- inv
	default:
	}
	return nil
}

// respond receives the response to a request.
func (l *lambda) respond(w http.ResponseWriter, r *http.Request) {
	inv := l.take(r.PathValue("id"))
	if inv == nil {
		acknowledge(w, http.StatusBadRequest)
		return
	}
	a := answer{body: r.Body, kind: r.Header.Get("Content-Type"), done: make(chan struct{})}
	a.streams = strings.EqualFold(r.Header.Get("Lambda-Runtime-Function-Response-Mode"), "streaming")
	if !a.streams {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
		if err != nil {
			a.err = &lambdaError{Message: "the program's response: " + err.Error()}
		}
		a.body = bytes.NewReader(body)
	}
	inv.answer <- a
	<-a.done
	acknowledge(w, http.StatusAccepted)
}

// respondError receives the failure of a request.
func (l *lambda) respondError(w http.ResponseWriter, r *http.Request) {
	inv := l.take(r.PathValue("id"))
	if inv == nil {
		acknowledge(w, http.StatusBadRequest)
		return
	}
	inv.answer <- answer{err: readError(r), done: make(chan struct{})}
	acknowledge(w, http.StatusAccepted)
}

// initError receives the reason of a failed initialization.
func (l *lambda) initError(w http.ResponseWriter, r *http.Request) {
	e := readError(r)
	l.logError(guest.Context{}, e)
	select {
	case l.failed <- errors.New(e.text()):
	default:
	}
	acknowledge(w, http.StatusAccepted)
}

func readError(r *http.Request) *lambdaError {
	e := &lambdaError{}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxLambdaErr))
	if err != nil || json.Unmarshal(body, e) != nil || e.Message == "" && e.Type == "" {
		e = &lambdaError{Message: string(body), Type: r.Header.Get("Lambda-Runtime-Function-Error-Type")}
	}
	return e
}

// acknowledge answers the program.
func acknowledge(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%q}`, http.StatusText(status))
}
