package header

import "net/http"

// AllowsBody reports whether a response of status may have a body (RFC 9110 §6.4.1).
func AllowsBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
