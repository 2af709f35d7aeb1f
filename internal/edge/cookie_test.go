package edge

import (
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestCookiesStayOnTheirOwnHost(t *testing.T) {
	s := newStage(t)
	s.options.Domain = "sites.example.com"
	var cookie string
	s.handle(func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Set-Cookie", cookie) })
	s.function("/api", lateen.Function{})
	s.open()
	for set, want := range map[string]string{
		"a=b; Path=/; Domain=sites.example.com; Secure": "a=b; Path=/; Secure",
		"a=b;domain=.Sites.Example.com":                 "a=b",
		"a=b; DOMAIN\t= example.com ; HttpOnly":         "a=b; HttpOnly",
		"a=b; Domain=com; Domain=example.com":           "a=b",
		"Domain=sites.example.com; Path=/":              "Domain=sites.example.com; Path=/", // the cookie is named Domain
		"a=b; Domain=app.sites.example.com":             "a=b; Domain=app.sites.example.com",
		"a=b; Domain=shop.example; Path=/":              "a=b; Domain=shop.example; Path=/",
		"a=b; Domain=ample.com":                         "a=b; Domain=ample.com", // browsers refuse this one themselves
		"a=b; Domain=":                                  "a=b; Domain=",
		"a=Domain=sites.example.com":                    "a=Domain=sites.example.com",
	} {
		cookie = set
		resp, _ := s.get("/api")
		has(t, resp.Header, "Set-Cookie", want)
	}
}
