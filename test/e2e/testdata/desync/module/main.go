// Module is a function of functions.txtar as a WebAssembly module: a CGI program.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

func main() {
	token, bypassed := os.Getenv("HTTP_X_TOKEN"), 0
	if os.Getenv("HTTP_X_TOKEN") != "" && os.Getenv("HTTP_X_FORWARDED_FOR") == "" {
		bypassed = 1
	}
	mode := os.Getenv("HTTP_X_MODE")
	fmt.Printf("X-Token: %s\nX-Bypassed: %d\n", token, bypassed)
	switch mode {
	case "empty":
		fmt.Print("Status: 204 No Content\n\n")
		return
	case "unchanged":
		fmt.Print("Status: 304 Not Modified\n\n")
		return
	}
	var body []byte
	if mode != "unread" {
		body, _ = io.ReadAll(os.Stdin)
	}
	url := os.Getenv("REQUEST_URI")
	sum := sha256.Sum256(body)
	fmt.Printf("Content-Type: text/plain\n\n%s %s %s %d %s", os.Getenv("REQUEST_METHOD"), url, token, len(body), hex.EncodeToString(sum[:8]))
}
