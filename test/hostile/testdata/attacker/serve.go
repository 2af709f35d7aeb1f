//go:build linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
)

// serve runs the attacker as a function on $PORT. Each request starts an attack in
// another process, with the arguments in its query; /bomb allocates memory in this
// process.
func serve() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bomb" {
			memory(&report{outcomes: map[string]string{}}, []string{"1000000"})
		}
		var errors bytes.Buffer
		child := exec.Command("/proc/self/exe", r.URL.Query()["arg"]...)
		child.Stderr = &errors
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			http.Error(w, outcome(err), http.StatusInternalServerError)
			return
		}
		output := bufio.NewReader(out)
		first, _ := output.ReadString('\n')
		if first == "listening\n" {
			io.WriteString(w, first)
			return
		}
		rest, _ := io.ReadAll(output)
		if err := child.Wait(); err != nil {
			http.Error(w, err.Error()+": "+errors.String(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, first+string(rest))
	})))
}
