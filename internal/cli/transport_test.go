package cli_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"

	"github.com/lateen-dev/lateen/internal/cli"
)

// No resolver has to know the names below localhost, and no proxy is asked for them.
func TestNamesBelowLocalhostAreThisMachine(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil && address == "[::1]:0" {
			t.Logf("this machine has no IPv6: %v", err)
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{ReadHeaderTimeout: waitLimit, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"user":{}}`)
		})}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { server.Close() })
		_, port, _ := net.SplitHostPort(listener.Addr().String())
		for _, name := range []string{"localhost", "api.localhost", "Shop-Team.LOCALHOST"} {
			var out, errs printed
			code := cli.Run(t.Context(), cli.State{
				Args: []string{"whoami", "--json"}, Dir: t.TempDir(), Stdout: &out, Stderr: &errs,
				Env: []string{"HOME=" + t.TempDir(), "LATEEN_API=http://" + name + ":" + port, "LATEEN_TOKEN=x"},
			})
			if code != 0 {
				t.Errorf("%s at %s: exit code %d\n%s", name, address, code, &errs)
			}
		}
	}
}
