// Server is a function of the runtime executable: a program that listens on $PORT.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/server", func(w http.ResponseWriter, r *http.Request) {
		log.Println("asked by", r.Header.Get("X-Forwarded-For"))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"runtime": "executable", "method": r.Method, "query": r.URL.RawQuery, "host": r.Host})
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
