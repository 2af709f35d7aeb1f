package api

import "net/http"

// reply records whether a response has begun: no error response is possible then.
type reply struct {
	http.ResponseWriter

	begun bool
}

// WriteHeader begins the response.
func (w *reply) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (w *reply) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// FlushError sends the buffered data, and the header in any case.
func (w *reply) FlushError() error {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }
