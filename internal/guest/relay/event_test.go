package relay

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResultsOfEveryFormAreResponses(t *testing.T) {
	for name, c := range map[string]struct {
		form event
		text string
		want *response
	}{
		"Vercel's": {vercelEvent{}, `{"statusCode":201,"headers":{"a":"1","b":["2","3"]},"encoding":"base64","body":"aGk="}`, &response{
			201, http.Header{"A": {"1"}, "B": {"2", "3"}, "Set-Cookie": nil}, []byte("hi"),
		}},
		"a gateway's": {gatewayEvent{}, `{"statusCode":204,"headers":{"n":7,"t":true,"z":null},"multiValueHeaders":{"m":["1","2"]},"cookies":["c=1"]}`, &response{
			204, http.Header{"N": {"7"}, "T": {"true"}, "Z": nil, "M": {"1", "2"}, "Set-Cookie": {"c=1"}}, []byte{},
		}},
		"a text for a gateway":   {gatewayEvent{}, `"just text"`, &response{200, http.Header{"Content-Type": {"application/json"}}, []byte("just text")}},
		"JSON for a gateway":     {gatewayEvent{}, `{"a":1}`, &response{200, http.Header{"Content-Type": {"application/json"}}, []byte(`{"a":1}`)}},
		"no status for Vercel":   {vercelEvent{}, `{"body":"x"}`, nil},
		"no JSON for Vercel":     {vercelEvent{}, `x`, nil},
		"a status out of bounds": {gatewayEvent{}, `{"statusCode":1000}`, nil},
		"a header of headers":    {gatewayEvent{}, `{"statusCode":200,"headers":{"a":{"b":1}}}`, nil},
		"a body that is no text": {gatewayEvent{}, `{"statusCode":200,"isBase64Encoded":true,"body":"%"}`, nil},
	} {
		got, err := c.form.decode([]byte(c.text))
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(response{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzResults(f *testing.F) {
	for _, seed := range []string{`{"statusCode":200,"headers":{"a":["b"]},"body":"x"}`, `"x"`, `{"statusCode":0}`, `{"headers":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, form := range []event{vercelEvent{}, gatewayEvent{}} {
			r, err := form.decode([]byte(text))
			if err == nil && (r.status < 100 || r.status > 999) {
				t.Errorf("%s has the status %d", text, r.status)
			}
		}
	})
}
