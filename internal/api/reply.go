package api

import "net/http"

// reply knows whether a response has begun: then nothing else can be answered.
type reply struct {
	http.ResponseWriter

	begun bool
}

// WriteHeader begins the response.
func (w *reply) WriteHeader(status int) {
	w.begun = true
	w.ResponseWriter.WriteHeader(status)
}

// Write writes some of its body.
func (w *reply) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// FlushError sends what is there, which is the header at least.
func (w *reply) FlushError() error {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets [http.ResponseController] reach the connection.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }
