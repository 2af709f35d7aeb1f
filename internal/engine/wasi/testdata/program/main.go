// Program is a function as tests want it: a CGI program.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"time"
)

func main() {
	switch os.Getenv("PATH_INFO") {
	case "/exit":
		os.Exit(7)
	case "/nothing":
		return
	case "/no-head":
		fmt.Print("just text\nand no head\n\n")
		return
	case "/status":
		fmt.Print("Status: nonsense\n\n")
		return
	case "/busy":
		for {
		}
	case "/sleep":
		fmt.Fprintln(os.Stderr, "sleeping")
		time.Sleep(time.Hour)
	case "/memory":
		var kept [][]byte
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "/cut":
		fmt.Print("Content-Type: text/plain\n\nbegun")
		os.Exit(4)
	case "/panic":
		panic("thrown in the handler")
	case "/stream":
		fmt.Print("Content-Type: text/plain\n\n")
		buf := make([]byte, 1024)
		for {
			n, err := os.Stdin.Read(buf)
			os.Stdout.Write(bytes.ToUpper(buf[:n]))
			if err != nil {
				return
			}
		}
	case "/redirect":
		fmt.Print("Location: /elsewhere\n\n")
		return
	}
	if err := cgi.Serve(http.HandlerFunc(answer)); err != nil {
		panic(err)
	}
}

func answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintln(os.Stderr, "a line of it")
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			return "refused"
		}
		return string(text)
	}
	_, dial := net.Dial("tcp", "127.0.0.1:80")
	w.Header().Add("Set-Cookie", "a=1")
	w.Header().Add("Set-Cookie", "b=2")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "path": os.Getenv("PATH_INFO"), "query": r.URL.RawQuery, "host": r.Host, "body": string(body), "own": r.Header.Get("X-Own"),
		"greeting": os.Getenv("GREETING"), "proxy": os.Getenv("HTTP_PROXY"), "client": os.Getenv("REMOTE_ADDR"), "https": os.Getenv("HTTPS"),
		"file": read("/data/note.txt"), "outside": read("/etc/passwd"), "above": read("/../../etc/passwd"), "link": read("/link"),
		"write": fmt.Sprint(os.WriteFile("/data/new", nil, 0o644) == nil), "dial": fmt.Sprint(dial == nil),
	})
}
