package edge

import (
	"context"
	"net/http"
	"net/netip"
	"testing"

	"github.com/lateen-dev/lateen"
)

func TestAFunctionCallCarriesTheClientsNetwork(t *testing.T) {
	s := newStage(t)
	s.function("/fn", lateen.Function{})
	s.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	var asked string
	s.options.Fleet = invoker(func(ctx context.Context, _ lateen.FunctionSpec, _ *http.Request, _ *lateen.Invocation) (*http.Response, error) {
		asked = lateen.ClientFrom(ctx)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
	})
	s.open()
	for forwarded, want := range map[string]string{
		"192.0.2.7":               "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":    "2001:db8:1:2::",
		"::ffff:192.0.2.7":        "192.0.2.7",
		"127.198.0.9":             "127.198.0.9", // a function, possibly of another tenant
		"2001:db8:1:2:ffff::1":    "2001:db8:1:2::",
		"192.0.2.1, 198.51.100.2": "198.51.100.2",
	} {
		s.get("/fn", "X-Forwarded-For: "+forwarded)
		if asked != want {
			t.Errorf("for the forwarded address %s the fleet got the client %q, want %q", forwarded, asked, want)
		}
	}
}
