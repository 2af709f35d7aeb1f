// Program is a function for tests: a CGI program. It is small, since modules take long
// to compile under the race detector.
package main

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	switch os.Getenv("PATH_INFO") {
	case "/exit":
		os.Exit(7)
	case "/nothing":
		return
	case "/no-head":
		print("just text\nand no head\n\n")
		return
	case "/status":
		print("Status: nonsense\n\n")
		return
	case "/busy":
		for {
		}
	case "/sleep":
		os.Stderr.WriteString("sleeping\n")
		time.Sleep(time.Hour)
	case "/memory":
		var kept [][]byte
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "/cut":
		print("Content-Type: text/plain\n\nbegun")
		os.Exit(4)
	case "/panic":
		panic("thrown in the handler")
	case "/stream":
		print("Content-Type: text/plain\n\n")
		buf := make([]byte, 1024)
		for {
			n, err := os.Stdin.Read(buf)
			os.Stdout.Write(bytes.ToUpper(buf[:n]))
			if err != nil {
				return
			}
		}
	case "/redirect":
		print("Location: /elsewhere\n\n")
		return
	}
	answer()
}

// answer prints the request and the environment as a CGI response.
func answer() {
	body, _ := io.ReadAll(os.Stdin)
	os.Stderr.WriteString("a line of it\n")
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			return "refused"
		}
		return string(text)
	}
	print("Status: 201 Created\nSet-Cookie: a=1\nSet-Cookie: b=2\nContent-Type: application/json\n\n")
	between := "{"
	for name, value := range map[string]string{
		"method": os.Getenv("REQUEST_METHOD"), "path": os.Getenv("PATH_INFO"), "query": os.Getenv("QUERY_STRING"), "host": os.Getenv("HTTP_HOST"),
		"body": string(body), "own": os.Getenv("HTTP_X_OWN"), "greeting": os.Getenv("GREETING"), "proxy": os.Getenv("HTTP_PROXY") + os.Getenv("HTTP_X_VERCEL_INTERNAL_HOPS"),
		"client": os.Getenv("REMOTE_ADDR"), "https": os.Getenv("HTTPS"),
		"file": read("/data/note.txt"), "outside": read("/etc/passwd"), "above": read("/../../etc/passwd"), "link": read("/link"),
		"write": strconv.FormatBool(os.WriteFile("/data/new", nil, 0o644) == nil),
	} {
		print(between + strconv.Quote(name) + ":" + strconv.Quote(value))
		between = ","
	}
	print("}")
}

func print(text string) { os.Stdout.WriteString(text) }
