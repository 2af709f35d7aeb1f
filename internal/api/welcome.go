package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net"
	"net/http"
)

//go:embed welcome.html
var welcomeHTML string

// welcome serves the page for browsers at the API's address.
func (a *API) welcome(w http.ResponseWriter, r *http.Request) error {
	page, err := template.New("welcome").Parse(welcomeHTML)
	if err != nil {
		return fmt.Errorf("read the page of the API: %w", err)
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	var b bytes.Buffer
	if err := page.Execute(&b, a.Control.SiteURL(host)); err != nil {
		return fmt.Errorf("write the page of the API: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")
	h.Set("Vary", "Accept")
	_, _ = w.Write(b.Bytes()) // a disconnected client is not an error
	return nil
}
