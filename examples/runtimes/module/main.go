// Module is a function of the runtime wasi: a CGI program.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"net/http/cgi"
	"runtime"
)

func main() {
	err := cgi.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"runtime": "wasi", "method": r.Method, "query": r.URL.RawQuery, "on": runtime.GOOS})
	}))
	if err != nil {
		log.Fatal(err)
	}
}
