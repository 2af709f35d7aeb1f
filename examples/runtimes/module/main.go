// Module is a function of the runtime wasi: a CGI program. It does without
// net/http, which makes a module twice as large and as long to compile.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"runtime"
)

func main() {
	body, err := json.Marshal(map[string]string{
		"runtime": "wasi", "method": os.Getenv("REQUEST_METHOD"), "query": os.Getenv("QUERY_STRING"), "on": runtime.GOOS,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Content-Type: application/json\n\n%s\n", body)
}
