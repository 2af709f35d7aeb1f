// Server is a function of functions.txtar as a program: an HTTP server on $PORT,
// or a client of the AWS Lambda Runtime API where there is one.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
)

var bypassed atomic.Int64

func main() {
	if api := os.Getenv("AWS_LAMBDA_RUNTIME_API"); api != "" {
		for {
			if err := next("http://" + api + "/2018-06-01/runtime/invocation/"); err != nil {
				log.Fatal(err)
			}
		}
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(answer)))
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Token") != "" && r.Header.Get("X-Forwarded-For") == "" {
		bypassed.Add(1)
	}
	w.Header().Set("X-Token", r.Header.Get("X-Token"))
	w.Header().Set("X-Bypassed", strconv.FormatInt(bypassed.Load(), 10))
	mode := r.Header.Get("X-Mode")
	switch mode {
	case "empty":
		w.WriteHeader(http.StatusNoContent)
		return
	case "unchanged":
		w.WriteHeader(http.StatusNotModified)
		return
	case "hints":
		w.WriteHeader(http.StatusEarlyHints)
	}
	var body []byte
	if mode != "unread" {
		body, _ = io.ReadAll(r.Body)
	}
	text := describe(r.Method, r.RequestURI, r.Header.Get("X-Token"), body)
	if mode == "parts" {
		io.WriteString(w, text[:3])
		w.(http.Flusher).Flush()
		text = text[3:]
	}
	io.WriteString(w, text)
}

func describe(method, url, token string, body []byte) string {
	sum := sha256.Sum256(body)
	return fmt.Sprintf("%s %s %s %d %x", method, url, token, len(body), sum[:8])
}

// next answers the next event.
func next(api string) error {
	resp, err := http.Get(api + "next")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var event struct {
		RawPath, RawQueryString, Body string
		IsBase64Encoded               bool
		Headers                       map[string]string
		RequestContext                struct{ HTTP struct{ Method string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&event); err != nil {
		return err
	}
	body := []byte(event.Body)
	if event.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(event.Body); err != nil {
			return err
		}
	}
	if event.Headers["x-token"] != "" && event.Headers["x-forwarded-for"] == "" {
		bypassed.Add(1)
	}
	url := event.RawPath
	if event.RawQueryString != "" {
		url += "?" + event.RawQueryString
	}
	token := event.Headers["x-token"]
	result, err := json.Marshal(map[string]any{
		"statusCode": 200, "headers": map[string]string{"x-token": token, "x-bypassed": strconv.FormatInt(bypassed.Load(), 10)},
		"body": describe(event.RequestContext.HTTP.Method, url, token, body),
	})
	if err != nil {
		return err
	}
	done, err := http.Post(api+resp.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json", bytes.NewReader(result))
	if err != nil {
		return err
	}
	return done.Body.Close()
}
