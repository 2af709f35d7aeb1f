package wasi

import (
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// environment returns the environment of the module: the variables of the function,
// overridden by the request's variables of CGI/1.1 (RFC 3875) and WAGI.
func environment(own map[string]string, req *http.Request) map[string]string {
	host, port, err := net.SplitHostPort(req.Host)
	scheme := req.Header.Get("X-Forwarded-Proto")
	if scheme == "" {
		scheme = "http"
	}
	if err != nil {
		host, port = req.Host, map[string]string{"https": "443"}[scheme]
	}
	if port == "" {
		port = "80"
	}
	env := maps.Clone(own)
	if env == nil {
		env = map[string]string{}
	}
	for name, values := range req.Header {
		hidden := name == "Proxy" || // programs would take it for the setting of a proxy
			strings.Contains(name, "_") || // programs would take it for a header with "-" in that place
			strings.HasPrefix(name, "X-Vercel-Internal-") // they are for agents
		if !hidden {
			env["HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = strings.Join(values, ", ")
		}
	}
	remote := req.Header.Get("X-Real-Ip")
	maps.Copy(env, map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "lateen", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": host, "SERVER_PORT": port,
		"REQUEST_METHOD": req.Method, "SCRIPT_NAME": "", "PATH_INFO": req.URL.Path, "X_RAW_PATH_INFO": req.URL.EscapedPath(),
		"QUERY_STRING": req.URL.RawQuery, "REQUEST_URI": req.URL.RequestURI(), "X_FULL_URL": scheme + "://" + req.Host + req.URL.RequestURI(),
		"CONTENT_TYPE": req.Header.Get("Content-Type"), "REMOTE_ADDR": remote, "REMOTE_HOST": remote, "HTTP_HOST": req.Host,
	})
	if scheme == "https" {
		env["HTTPS"] = "on"
	}
	if req.ContentLength > 0 {
		env["CONTENT_LENGTH"] = strconv.FormatInt(req.ContentLength, 10)
	}
	maps.DeleteFunc(env, func(name, value string) bool {
		return strings.ContainsRune(name+value, 0) || strings.Contains(name, "=") || name == ""
	})
	return env
}
