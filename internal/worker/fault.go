package worker

import (
	"errors"

	"github.com/lateen-dev/lateen"
)

// Errors of the connection to a worker. The platform is at fault in all cases.
var (
	// ErrUnreachable means that the function received no part of the request, so the
	// request may be sent again.
	ErrUnreachable = &lateen.Error{Code: lateen.Unavailable, Reason: "worker_unreachable", Message: "the worker that runs functions cannot be reached", Hint: "start it with `lateen up --roles worker --worker-listen unix:PATH`"}
	// ErrStopping means the same: the worker stops, and refused the request.
	ErrStopping = &lateen.Error{Code: lateen.Unavailable, Reason: "worker_stopping", Message: "the worker that runs functions is stopping", Hint: "start it again with `lateen up --roles worker --worker-listen unix:PATH`"}
	// ErrIncompatible means the same: the worker has another protocol.
	ErrIncompatible = &lateen.Error{Code: lateen.Unavailable, Reason: "worker_incompatible", Message: "the worker that runs functions has another protocol than the control process", Hint: "upgrade both processes to the same version"}
	// ErrLost means that the connection broke after the request was sent. The function
	// may have received it, so it must not be sent again.
	ErrLost = &lateen.Error{Code: lateen.Unavailable, Reason: "worker_lost", Message: "the connection to the worker broke while the function ran"}
)

// unreceived reports whether err means that no function received the request.
func unreceived(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrStopping) || errors.Is(err, ErrIncompatible)
}

// fault is an error on the wire: the first [lateen.Error] in its chain, and texts for
// logs.
type fault struct {
	Error *lateen.Error `json:"error,omitempty"`
	Cause string        `json:"cause,omitempty"` // text of the cause of Error
	Text  string        `json:"text"`            // text of the whole error
}

// faultOf returns the form of err on the wire; nil if err is nil.
func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	f := &fault{Text: err.Error()}
	if e, ok := errors.AsType[*lateen.Error](err); ok {
		f.Error = e
		if cause := e.Unwrap(); cause != nil {
			f.Cause = cause.Error()
		}
	}
	return f
}

// err returns the error of a fault, with the same text and the same [lateen.Error];
// nil if f is nil.
func (f *fault) err() error {
	if f == nil {
		return nil
	}
	if f.Error == nil {
		return errors.New(f.Text)
	}
	e := f.Error
	if f.Cause != "" {
		e = e.Because(errors.New(f.Cause))
	}
	if e.Error() == f.Text {
		return e
	}
	return &wrapped{f.Text, e}
}

// wrapped is an error with a text of its own around a [lateen.Error].
type wrapped struct {
	text string
	err  error
}

// Error implements error.
func (w *wrapped) Error() string { return w.text }

// Unwrap returns the [lateen.Error].
func (w *wrapped) Unwrap() error { return w.err }
