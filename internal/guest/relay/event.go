package relay

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lateen-dev/lateen/internal/guest"
)

// event is an encoding of requests and responses as JSON.
type event interface {
	encode(r *http.Request, body []byte, reference guest.Context) ([]byte, error)
	decode(result []byte) (*response, error)
}

// response is a complete response.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (r *response) writeTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	for _, name := range []string{"Connection", "Content-Length", "Transfer-Encoding"} {
		w.Header().Del(name) // headers of the program's connection do not apply to this one
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // the reader may be gone
}

// result is a response of a program, with the fields of all supported encodings.
type result struct {
	StatusCode   *int                       `json:"statusCode"`
	Headers      map[string]json.RawMessage `json:"headers"`
	MultiHeaders map[string][]string        `json:"multiValueHeaders"`
	Cookies      []string                   `json:"cookies"`
	Body         string                     `json:"body"`
	Base64       bool                       `json:"isBase64Encoded"`
	Encoding     string                     `json:"encoding"`
}

// response converts it to a response. Without a status, the status is 200.
func (x *result) response() (*response, error) {
	r := &response{status: http.StatusOK, header: http.Header{}, body: []byte(x.Body)}
	if x.StatusCode != nil {
		r.status = *x.StatusCode
	}
	if r.status < 100 || r.status > 999 {
		return nil, fmt.Errorf("the program's response has the status %d", r.status)
	}
	for name, raw := range x.Headers {
		values, err := headerValues(raw)
		if err != nil {
			return nil, fmt.Errorf("the program's response: header %s: %w", name, err)
		}
		r.header[http.CanonicalHeaderKey(name)] = values
	}
	for name, values := range x.MultiHeaders {
		r.header[http.CanonicalHeaderKey(name)] = values
	}
	r.header["Set-Cookie"] = append(r.header["Set-Cookie"], x.Cookies...)
	if x.Base64 || x.Encoding == "base64" {
		var err error
		if r.body, err = base64.StdEncoding.DecodeString(x.Body); err != nil {
			return nil, fmt.Errorf("the program's response: its body is not base 64: %w", err)
		}
	}
	return r, nil
}

// headerValues reads one value or several; a number or a boolean becomes its text.
func headerValues(raw json.RawMessage) ([]string, error) {
	var many []any
	if err := json.Unmarshal(raw, &many); err != nil {
		var one any
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, err
		}
		many = []any{one}
	}
	var values []string
	for _, v := range many {
		switch v.(type) {
		case string, bool, float64:
			values = append(values, fmt.Sprint(v))
		case nil:
		default:
			return nil, errors.New("it is neither a string nor a list of strings")
		}
	}
	return values, nil
}

// vercelEvent is the encoding of Vercel's runtimes.
type vercelEvent struct{}

func (vercelEvent) encode(r *http.Request, body []byte, _ guest.Context) ([]byte, error) {
	headers := map[string]any{"host": r.Host}
	for name, values := range r.Header {
		if headers[strings.ToLower(name)] = values; len(values) == 1 {
			headers[strings.ToLower(name)] = values[0]
		}
	}
	request, err := json.Marshal(map[string]any{
		"method": r.Method, "host": r.Host, "path": r.URL.RequestURI(), "headers": headers,
		"encoding": "base64", "body": base64.StdEncoding.EncodeToString(body),
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]string{"Action": "Invoke", "body": string(request)})
}

func (vercelEvent) decode(text []byte) (*response, error) {
	var x result
	if err := json.Unmarshal(text, &x); err != nil {
		return nil, fmt.Errorf("the program's response is not what Vercel's runtimes answer: %w", err)
	}
	if x.StatusCode == nil {
		return nil, errors.New("the program's response has no statusCode")
	}
	return x.response()
}

// gatewayEvent is the encoding of AWS's API gateway and function URLs: one event with
// the fields of both versions of the payload.
type gatewayEvent struct{}

func (gatewayEvent) encode(r *http.Request, body []byte, reference guest.Context) ([]byte, error) {
	headers, multi := map[string]string{"host": r.Host}, map[string][]string{"host": {r.Host}}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		if name != "cookie" {
			headers[name] = strings.Join(values, ",")
		}
		multi[name] = values
	}
	query, single := r.URL.Query(), map[string]string{}
	for name, values := range query {
		single[name] = strings.Join(values, ",")
	}
	var cookies []string
	for _, line := range r.Header["Cookie"] {
		headers["cookie"] = line
		for cookie := range strings.SplitSeq(line, ";") {
			cookies = append(cookies, strings.TrimSpace(cookie))
		}
	}
	text, encoded := string(body), false
	if !utf8.Valid(body) {
		text, encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": r.URL.EscapedPath(), "rawQueryString": r.URL.RawQuery,
		"resource": "/{proxy+}", "path": path(r.URL), "httpMethod": r.Method,
		"cookies": cookies, "headers": headers, "multiValueHeaders": multi,
		"queryStringParameters": single, "multiValueQueryStringParameters": query,
		"requestContext": requestContext(r, reference), "body": text, "isBase64Encoded": encoded,
	})
}

func path(u *url.URL) string {
	if u.Path == "" {
		return "/"
	}
	return u.Path
}

func requestContext(r *http.Request, reference guest.Context) map[string]any {
	now, source, agent := time.Now(), r.Header.Get("X-Real-Ip"), r.UserAgent()
	return map[string]any{
		"accountId": "000000000000", "apiId": "lateen", "stage": "$default", "routeKey": "$default",
		"domainName": r.Host, "requestId": reference.InvocationID, "path": path(r.URL), "httpMethod": r.Method,
		"time": now.UTC().Format("02/Jan/2006:15:04:05 -0700"), "timeEpoch": now.UnixMilli(),
		"http":     map[string]string{"method": r.Method, "path": path(r.URL), "protocol": r.Proto, "sourceIp": source, "userAgent": agent},
		"identity": map[string]string{"sourceIp": source, "userAgent": agent},
	}
}

// decode accepts the results that a gateway accepts: a response, or any other value as
// the body of one.
func (gatewayEvent) decode(text []byte) (*response, error) {
	var x result
	if err := json.Unmarshal(text, &x); err == nil && x.StatusCode != nil {
		return x.response()
	}
	r := &response{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: text}
	var body string
	if err := json.Unmarshal(text, &body); err == nil {
		r.body = []byte(body)
	}
	return r, nil
}

// prelude is the content type of a streamed response that begins with its status and
// headers.
const prelude = "application/vnd.awslambda.http-integration-response"

// streamResponse forwards a response while it arrives. Its status and headers, if it
// has them, are JSON that ends with eight NULs.
func streamResponse(w http.ResponseWriter, a answer) error {
	body := bufio.NewReader(a.body)
	resp := &response{status: http.StatusOK, header: http.Header{"Content-Type": {"application/octet-stream"}}}
	if strings.HasPrefix(a.kind, prelude) {
		head, err := readPrelude(body)
		if err != nil {
			return err
		}
		var x result
		if err := json.Unmarshal(head, &x); err != nil {
			return fmt.Errorf("the head of the program's response: %w", err)
		}
		if resp, err = x.response(); err != nil {
			return err
		}
	} else if a.kind != "" {
		resp.header.Set("Content-Type", a.kind)
	}
	resp.writeTo(w)
	control := http.NewResponseController(w)
	_ = control.Flush() // the client sees output as it arrives
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			_, _ = w.Write(buf[:n]) // the program is not at fault if the client is gone
			_ = control.Flush()     // as above
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			panic(http.ErrAbortHandler) // the response has begun, so only breaking the connection reports the failure
		}
	}
}

// readPrelude reads up to eight NULs, and skips them.
func readPrelude(r *bufio.Reader) ([]byte, error) {
	const most = 1 << 20
	end := make([]byte, 8)
	var head []byte
	for len(head) < most {
		b, err := r.ReadByte()
		if err != nil {
			return nil, fmt.Errorf("the head of the program's response: %w", err)
		}
		if head = append(head, b); bytes.HasSuffix(head, end) {
			return head[:len(head)-len(end)], nil
		}
	}
	return nil, errors.New("the head of the program's response has no end")
}
