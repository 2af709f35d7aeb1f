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
	lambdaPath   = "/2018-06-01/runtime"
	maxEvent     = 128 << 20 // bytes of a request's body, or of a whole response
	maxLambdaErr = 64 << 10
	maxMissed    = 1024 // more than there are requests at a time
)

// lambda is the face of a program that asks the AWS Lambda Runtime API for its
// requests, one at a time.
type lambda struct {
	spec    guest.Activate
	control *guest.Sender
	events  event // how requests look to the program
	api     net.Listener

	began   sync.Once
	asked   chan struct{}    // closed once the program has asked for its first request
	failed  chan error       // takes one: why the program could not be initialised
	waiting chan *invocation // requests for the program
	missed  chan *invocation // holds one that the program has not received, if any
	current chan *invocation // holds the one the program has, if any
}

// invocation is a request on its way through the program.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	answer   chan answer // takes one
}

// answer is what the program makes of a request.
type answer struct {
	body    io.Reader // all of it, or of a streamed one what comes
	kind    string    // its content type
	streams bool
	err     *lambdaError
	done    chan struct{} // closed once body is read
}

// lambdaError is an error as the API has it.
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
	api, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as long as the process lives
	if err != nil {
		return nil, fmt.Errorf("listen for the program: %w", err)
	}
	l := &lambda{
		spec: spec, control: c, events: vercelEvent{}, api: api, asked: make(chan struct{}),
		failed: make(chan error, 1), waiting: make(chan *invocation), missed: make(chan *invocation, maxMissed), current: make(chan *invocation, 1),
	}
	if spec.Lambda.Gateway {
		l.events = gatewayEvent{}
	}
	go serveHTTP(api, l.routes())
	return l, nil
}

// serveHTTP answers all requests until the process ends.
func serveHTTP(at net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler} //nolint:gosec // both sides are of this sandbox; who they serve sets the limits
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
		case err := <-l.failed: // why the program exits, which is often noticed at the same time
			return guest.ServerStarted{}, err
		default:
			return guest.ServerStarted{}, context.Cause(ctx)
		}
	}
}

func (l *lambda) serve(supervisor net.Listener) { serveHTTP(supervisor, http.HandlerFunc(l.answer)) }

// answer takes a request of the supervisor through the program.
func (l *lambda) answer(w http.ResponseWriter, r *http.Request) {
	about := guest.Context{InvocationID: r.Header.Get(guest.HeaderInvocation)}
	about.RequestID, _ = strconv.ParseUint(r.Header.Get(guest.HeaderRequest), 10, 64)
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), guest.HeaderPrefix) {
			delete(r.Header, name)
		}
	}
	end := guest.End{Context: about}
	defer func() { l.control.Send(guest.TypeEnd, end) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if err != nil {
		end.Error = fail(w, "the request's body: "+err.Error())
		return
	}
	event, err := l.events.encode(r, body, about)
	if err != nil {
		end.Error = fail(w, err.Error())
		return
	}
	inv := &invocation{id: about.InvocationID, event: event, answer: make(chan answer, 1)}
	inv.deadline = time.Now().Add(time.Duration(l.spec.Lambda.Timeout) * time.Second)
	select { // a client that goes away before the program has it costs nothing
	case l.waiting <- inv:
	case <-r.Context().Done():
		return
	}
	a := <-inv.answer // also if the client is gone: the program is at it until then
	defer close(a.done)
	if a.err != nil {
		l.complain(about, a.err)
		end.Error = fail(w, a.err.text())
		return
	}
	if err := l.write(w, a); err != nil {
		end.Error = fail(w, err.Error())
	}
}

// write makes the program's answer a response. After an error there is none yet.
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

// fail answers in the program's place.
func fail(w http.ResponseWriter, message string) *guest.Fault {
	w.Header().Set(guest.HeaderFailure, guest.FaultFailed)
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = io.WriteString(w, message) // whoever reads it may be gone
	return &guest.Fault{Reason: guest.FaultFailed, Message: message}
}

// complain writes an error where the program's own output goes.
func (l *lambda) complain(about guest.Context, e *lambdaError) {
	text := []byte(e.text())
	for _, frame := range e.Stack {
		if line, err := json.Marshal(frame); err == nil {
			text = append(append(text, "\n    "...), line...)
		}
	}
	l.control.Send(guest.TypeLog, guest.Log{Context: about, Message: text, Level: "error"})
}

// routes is the API, for the program.
func (l *lambda) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+lambdaPath+"/invocation/next", l.next)
	mux.HandleFunc("POST "+lambdaPath+"/invocation/{id}/response", l.respond)
	mux.HandleFunc("POST "+lambdaPath+"/invocation/{id}/error", l.respondError)
	mux.HandleFunc("POST "+lambdaPath+"/init/error", l.initError)
	return mux
}

// next gives the program its next request, whenever there is one. An invocation
// that does not reach the program, which has broken its question off, is for the
// next one.
func (l *lambda) next(w http.ResponseWriter, r *http.Request) {
	l.began.Do(func() { close(l.asked) })
	var inv *invocation
	select {
	case inv = <-l.missed:
	case inv = <-l.waiting:
	case <-r.Context().Done():
		return
	}
	if r.Context().Err() != nil {
		l.missed <- inv
		return
	}
	select {
	case l.current <- inv:
	default:
		inv.answer <- answer{err: &lambdaError{Message: "the program asked for a request while it had one"}, done: make(chan struct{})}
		accepted(w, http.StatusConflict)
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
		l.missed <- held
	}
}

// take returns the invocation the program is at, if that has this id.
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

// respond takes the answer to a request.
func (l *lambda) respond(w http.ResponseWriter, r *http.Request) {
	inv := l.take(r.PathValue("id"))
	if inv == nil {
		accepted(w, http.StatusBadRequest)
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
	accepted(w, http.StatusAccepted)
}

// respondError takes the failure of a request.
func (l *lambda) respondError(w http.ResponseWriter, r *http.Request) {
	inv := l.take(r.PathValue("id"))
	if inv == nil {
		accepted(w, http.StatusBadRequest)
		return
	}
	inv.answer <- answer{err: readError(r), done: make(chan struct{})}
	accepted(w, http.StatusAccepted)
}

// initError takes the reason why the program cannot be of service.
func (l *lambda) initError(w http.ResponseWriter, r *http.Request) {
	e := readError(r)
	l.complain(guest.Context{}, e)
	select {
	case l.failed <- errors.New(e.text()):
	default:
	}
	accepted(w, http.StatusAccepted)
}

func readError(r *http.Request) *lambdaError {
	e := &lambdaError{}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxLambdaErr))
	if err != nil || json.Unmarshal(body, e) != nil || e.Message == "" && e.Type == "" {
		e = &lambdaError{Message: string(body), Type: r.Header.Get("Lambda-Runtime-Function-Error-Type")}
	}
	return e
}

// accepted answers the program.
func accepted(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"status":%q}`, http.StatusText(status))
}
