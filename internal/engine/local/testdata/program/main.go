// Program is the program of functions in tests. Its name selects its behavior.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

func main() {
	fmt.Println("starting")
	switch name := filepath.Base(os.Args[0]); name {
	case "server", "six":
		host := map[string]string{"server": "127.0.0.1", "six": "::"}[name]
		serve(net.JoinHostPort(host, os.Getenv("PORT")))
	case "idle":
		serveIdle("127.0.0.1:" + os.Getenv("PORT"))
	case "wrapper":
		wrapper()
	case "elsewhere":
		serve("127.0.0.1:0")
	case "exits":
		fmt.Fprintln(os.Stderr, "no point in going on")
		os.Exit(7)
	case "bootstrap":
		lambda()
	case "broken":
		post("/runtime/init/error", map[string]any{"errorMessage": "no database", "errorType": "InitError", "stackTrace": []string{"main.go:1"}})
		os.Exit(1)
	}
}

func serve(at string) {
	listener, err := net.Listen("tcp", at)
	if err != nil {
		panic(err)
	}
	panic(http.Serve(listener, http.HandlerFunc(answer)))
}

// serveIdle closes connections after a short idle timeout, and logs that.
func serveIdle(at string) {
	listener, err := net.Listen("tcp", at)
	if err != nil {
		panic(err)
	}
	var closed atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(answer), IdleTimeout: 20 * time.Millisecond, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			fmt.Printf("closed connection %d.\n", closed.Add(1))
		}
	}}
	panic(server.Serve(listener))
}

func answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/exit":
		fmt.Println("exiting")
		os.Exit(3)
	case "/hang-up":
		panic(http.ErrAbortHandler)
	case "/reset":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	case "/cut":
		fmt.Fprint(w, "begun")
		w.(http.Flusher).Flush()
		os.Exit(4)
	case "/memory":
		var kept [][]byte
		for {
			kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		}
	case "/stream":
		http.NewResponseController(w).EnableFullDuplex()
		buf := make([]byte, 1024)
		for {
			n, err := r.Body.Read(buf)
			if _, werr := w.Write(bytes.ToUpper(buf[:n])); werr != nil || err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	case "/wait":
		fmt.Println("waiting")
		<-r.Context().Done()
		fmt.Println("gone")
	case "/upgrade":
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		io.Copy(conn, rw)
	default:
		body, _ := io.ReadAll(r.Body)
		fmt.Println("line of", r.URL.Path)
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		json.NewEncoder(w).Encode(map[string]any{
			"method": r.Method, "target": r.RequestURI, "host": r.Host, "body": string(body), "header": r.Header,
			"greeting": os.Getenv("GREETING"), "uid": os.Getuid(), "cwd": cwd(), "node": os.Getenv("NODE_ENV"),
		})
	}
}

func cwd() string {
	dir, _ := os.Getwd()
	return filepath.Base(dir)
}

// wrapper speaks the guest protocol itself, in front of a server on $PORT.
func wrapper() {
	ipc, err := net.Dial("unix", os.Getenv("VERCEL_IPC_PATH"))
	if err != nil {
		panic(err)
	}
	say := func(kind string, payload any) {
		b, _ := json.Marshal(map[string]any{"type": kind, "payload": payload})
		ipc.Write(append(b, 0))
	}
	go serve("127.0.0.1:" + os.Getenv("PORT"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	listener.Close()
	say("server-started", map[string]any{"initDuration": 1, "httpPort": listener.Addr().(*net.TCPAddr).Port}) // before the server listens
	panic(http.ListenAndServe(listener.Addr().String(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		about := map[string]any{"invocationId": r.Header.Get("X-Vercel-Internal-Invocation-Id"), "requestId": json.RawMessage(r.Header.Get("X-Vercel-Internal-Request-Id"))}
		say("log", map[string]any{"context": about, "message": []byte("told by the wrapper"), "stream": "stdout"})
		fmt.Fprint(w, "wrapped ", r.URL.Path)
		defer say("end", map[string]any{"context": about})
		if r.URL.Path == "/late" {
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})))
}

func api() string { return "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01" }

func post(path string, v any) {
	b, _ := json.Marshal(v)
	resp, err := http.Post(api()+path, "application/json", bytes.NewReader(b))
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
}

func lambda() {
	for {
		resp, err := http.Get(api() + "/runtime/invocation/next")
		if err != nil {
			panic(err)
		}
		var event map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&event); err != nil {
			panic(err)
		}
		resp.Body.Close()
		one("/runtime/invocation/"+resp.Header.Get("Lambda-Runtime-Aws-Request-Id"), event, resp.Header)
	}
}

func one(at string, event map[string]any, header http.Header) {
	path, _ := event["rawPath"].(string)
	if event["Action"] == "Invoke" {
		var inner map[string]any
		json.Unmarshal([]byte(event["body"].(string)), &inner)
		event["inner"] = inner
		path = inner["path"].(string)
	}
	switch {
	case strings.HasPrefix(path, "/throw"):
		post(at+"/error", map[string]any{"errorMessage": "thrown", "errorType": "TypeError", "stackTrace": []string{"at main"}})
	case strings.HasPrefix(path, "/exit"):
		os.Exit(5)
	case strings.HasPrefix(path, "/nonsense"):
		post(at+"/response", "nonsense")
	case strings.HasPrefix(path, "/stream"):
		r, w := io.Pipe()
		go func() {
			io.WriteString(w, `{"statusCode":201,"headers":{"x-a":"b"},"cookies":["c=1"]}`+strings.Repeat("\x00", 8)+"first")
			if path != "/stream" {
				w.CloseWithError(io.ErrUnexpectedEOF)
			}
			time.Sleep(50 * time.Millisecond)
			io.WriteString(w, "second")
			w.Close()
		}()
		req, _ := http.NewRequest(http.MethodPost, api()+at+"/response", r)
		req.Header.Set("Content-Type", "application/vnd.awslambda.http-integration-response")
		req.Header.Set("Lambda-Runtime-Function-Response-Mode", "streaming")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
	default:
		event["deadline"], event["task"], event["handler"] = header.Get("Lambda-Runtime-Deadline-Ms"), filepath.Base(os.Getenv("LAMBDA_TASK_ROOT")), os.Getenv("_HANDLER")
		event["name"], event["size"] = os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), os.Getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
		body, _ := json.Marshal(event)
		post(at+"/response", map[string]any{
			"statusCode": 200, "headers": map[string]any{"x-one": "1", "set-cookie": []string{"a=1", "b=2"}}, "encoding": "base64", "body": body, "isBase64Encoded": true,
		})
	}
}
