package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Errors of the HTTP layer itself.
var (
	errEnvValue = &lateen.Error{Code: lateen.Invalid, Reason: "env_value_invalid_type", Message: "the value of a variable must be a string"}
	errStopping = &lateen.Error{Code: lateen.Unavailable, Reason: "platform_stopping", Message: "the platform is stopping", Hint: "try again in a moment"}
	errBusy     = &lateen.Error{Code: lateen.Unavailable, Reason: "too_many_uploads", Message: "the team or the token is at its limit of concurrent uploads", Hint: "try again in a moment"}
)

// statuses maps each code to its HTTP status.
var statuses = map[lateen.Code]int{
	lateen.Invalid: http.StatusBadRequest,
	// Clients of this protocol expect 403, with the fields invalidToken and
	// missingToken, for a bad token. They interpret 401 differently.
	lateen.Unauthenticated: http.StatusForbidden,
	lateen.Forbidden:       http.StatusForbidden,
	lateen.NotFound:        http.StatusNotFound,
	lateen.Conflict:        http.StatusConflict,
	lateen.Exhausted:       http.StatusTooManyRequests,
	lateen.Faulted:         http.StatusBadGateway,
	lateen.Unavailable:     http.StatusServiceUnavailable,
	lateen.Timeout:         http.StatusGatewayTimeout,
	lateen.Internal:        http.StatusInternalServerError,
}

// Status returns the HTTP status of an error.
func Status(e *lateen.Error) int {
	switch {
	case errors.Is(e, lateen.ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(e, lateen.ErrMethod):
		return http.StatusMethodNotAllowed
	case errors.Is(e, errSlow):
		return http.StatusRequestTimeout
	case errors.Is(e, lateen.ErrStorageFull), errors.Is(e, lateen.ErrTeamStorage):
		return http.StatusInsufficientStorage
	}
	if s, ok := statuses[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// errorBody is the wire form of an error.
type errorBody struct {
	Error errorInfo `json:"error"`
}

// errorInfo describes an error to clients. The vercel CLI handles some codes, and
// copies every field except the message to its own error.
type errorInfo struct {
	Code      string            `json:"code"`  // the reason: project_not_found
	Class     lateen.Code       `json:"class"` // the class of the error: not_found
	Message   string            `json:"message"`
	Hint      string            `json:"hint,omitempty"`
	Fields    map[string]string `json:"fields,omitempty"`
	RequestID lateen.RequestID  `json:"requestId,omitempty"`

	Missing      []string `json:"missing,omitempty"` // SHA-1 of files to upload, with missing_files
	InvalidToken bool     `json:"invalidToken,omitempty"`
	MissingToken bool     `json:"missingToken,omitempty"`
}

// statusClientGone is the logged status of a request whose client disconnected
// early, as in nginx.
const statusClientGone = 499

// fail answers a request with an error. It shows only a [lateen.Error]; it logs
// other errors, causes and full disks. If the response has begun, fail aborts it by
// [http.ErrAbortHandler], so that the client does not take a part for the whole.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	ctx := r.Context()
	shown, ok := errors.AsType[*lateen.Error](err)
	hidden, full := !ok || shown.Code == lateen.Internal, errors.Is(err, lateen.ErrStorageFull)
	if (hidden || full) && ctx.Err() == nil { // a client that disconnected is not an error of the platform
		a.Log.ErrorContext(ctx, "request failed", "method", r.Method, "path", r.URL.Path, "request_id", lateen.RequestIDFrom(ctx), "err", err)
	}
	if hidden {
		shown = lateen.ErrInternal.With("internal error (request %s)", lateen.RequestIDFrom(ctx))
	}
	if begun, ok := w.(*reply); ok && begun.begun {
		panic(http.ErrAbortHandler)
	}
	if shown.Code == lateen.Internal && ctx.Err() != nil {
		w.WriteHeader(statusClientGone)
		return
	}
	info := errorInfo{
		Code: shown.Reason, Class: shown.Code, Message: shown.Message, Hint: shown.Hint,
		Fields: shown.Fields, RequestID: lateen.RequestIDFrom(ctx),
		InvalidToken: errors.Is(shown, lateen.ErrTokenInvalid),
		MissingToken: errors.Is(shown, lateen.ErrTokenMissing),
	}
	if errors.Is(shown, lateen.ErrMissingFiles) {
		info.Fields = nil
		for sha := range shown.Fields {
			info.Missing = append(info.Missing, sha)
		}
		slices.Sort(info.Missing)
	}
	if strings.HasPrefix(r.UserAgent(), "vercel ") && shown.Hint != "" {
		info.Message += ". " + strings.ToUpper(shown.Hint[:1]) + shown.Hint[1:] // the vercel CLI does not show hints
	}
	if (shown.Code == lateen.Unavailable || shown.Code == lateen.Exhausted) && !full && !errors.Is(err, lateen.ErrTeamStorage) {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, Status(shown), errorBody{Error: info})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a disconnected client is not an error
}

// readJSON reads a request's body into v. It ignores unknown fields, and names
// fields of a wrong type in the error. An absent body leaves v unchanged.
func readJSON(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	return decodeBody(body, v)
}

func decodeBody(body []byte, v any) error {
	if len(body) == 0 {
		return nil
	}
	return decodeJSON(body, v)
}

// kindOf returns the JSON name of a type.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "an object"
	default:
		return "a number"
	}
}

func decodeJSON(body []byte, v any) error {
	err := json.Unmarshal(body, v)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		e := lateen.ErrInvalid.With("the field %q must be %s, not %s", wrong.Field, kindOf(wrong.Type), wrong.Value)
		e.Fields = map[string]string{wrong.Field: "must be " + kindOf(wrong.Type)}
		return e
	}
	if _, ok := errors.AsType[*lateen.Error](err); ok {
		return err
	}
	return lateen.ErrInvalid.With("the body is not the expected JSON").Because(err)
}

// bodyError returns the error of a body that could not be read.
func bodyError(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return lateen.ErrTooLarge.With("payload too large: the body exceeds the limit of %d bytes", large.Limit)
	}
	if shown, ok := errors.AsType[*lateen.Error](err); ok {
		return shown
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return lateen.ErrUploadTruncated.Because(err)
	}
	return fmt.Errorf("read the body: %w", err)
}
