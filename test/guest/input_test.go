package guest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Names that every object of JavaScript has a property of.
const inherited = "constructor=1&__proto__=2&toString=3&hasOwnProperty=4&constructor=5"

func TestAParameterMayHaveTheNameOfAPropertyOfEveryObject(t *testing.T) {
	p := newPlatform(t)
	lambda := node()
	lambda.AWSHandler = "index.handler"
	p.function("/lambda", lambda, `exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify([
  event.queryStringParameters, event.multiValueQueryStringParameters, event.headers.constructor, event.multiValueHeaders.constructor,
]) });`)
	p.function("/helpers", node(), `module.exports = (req, res) => res.json([req.query, req.cookies]);`)
	for path, want := range map[string]string{
		"/lambda": `[{"constructor":"5","__proto__":"2","toString":"3","hasOwnProperty":"4"},
			{"constructor":["1","5"],"__proto__":["2"],"toString":["3"],"hasOwnProperty":["4"]}, "h", ["h"]]`,
		"/helpers": `[{"constructor":["1","5"],"__proto__":"2","toString":"3","hasOwnProperty":"4"}, {"__proto__":"a","constructor":"b"}]`,
	} {
		resp, body := p.get(path+"?"+inherited, "Constructor: h", "Cookie: __proto__=a; constructor=b")
		var got, wanted any
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %q", path, resp.Status, body)
		} else if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	many := strings.Repeat("a&", 30_000) // the limit of a request's header
	if resp, body := p.get("/helpers?" + many); resp.StatusCode != http.StatusOK || len(body) < len(many) {
		t.Errorf("many parameters of one name: %s, %d bytes", resp.Status, len(body))
	}
}

// API gateways take a missing, null or empty field of a result for its default.
func TestANullInTheResultOfALambdaIsItsDefault(t *testing.T) {
	p := newPlatform(t)
	lambda := node()
	lambda.AWSHandler = "index.handler"
	p.function("/lambda", lambda, `exports.handler = async (event) => JSON.parse(event.queryStringParameters.result);`)
	for result, want := range map[string]string{
		`{"statusCode":200,"body":null}`:                          "200 ",
		`{"body":"x"}`:                                            "200 x",
		`{"statusCode":null,"headers":null,"body":"x"}`:           "200 x",
		`{"statusCode":201,"headers":{"x-a":null},"body":""}`:     "201 ",
		`{"statusCode":200,"body":{"a":null}}`:                    `200 {"a":null}`,
		`{"statusCode":200,"body":0}`:                             "200 0",
		`{"statusCode":200,"body":"eA==","isBase64Encoded":true}`: "200 x",
		`{"statusCode":202,"multiValueHeaders":{"x-a":["1"]}}`:    "202 ",
		`{"statusCode":200,"body":false}`:                         "200 false",
		`null`:                                                    "200 ",
	} {
		resp, body := p.get("/lambda?result=" + strings.NewReplacer("+", "%2B", "{", "%7B", "}", "%7D", `"`, "%22", "[", "%5B", "]", "%5D").Replace(result))
		if got := strings.Fields(resp.Status)[0] + " " + body; got != want {
			t.Errorf("%s: %q, want %q", result, got, want)
		}
		if resp.Header.Get("X-A") == "null" {
			t.Errorf("%s: a header is the text null", result)
		}
	}
}
