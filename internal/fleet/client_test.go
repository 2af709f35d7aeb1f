package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/fleet"
)

// hoarder is the client whose requests do not end.
const hoarder = "192.0.2.1"

// forClients handles requests that do not end, and answers all others after a
// millisecond.
func forClients(req *http.Request) (*http.Response, error) {
	if req.Context().Value(endless{}) != nil {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return sleeping(time.Millisecond)(req)
}

type endless struct{}

// occupy sends n requests of /a by one client that do not end before stop is called.
func (h *harness) occupy(n int) (stop func() []error) {
	ctx, cancel := context.WithCancel(context.WithValue(lateen.WithClient(h.t.Context(), hoarder), endless{}, true))
	ended := make(chan error, n)
	for range n {
		go func() {
			_, _, err := h.call(ctx, spec("/a"))
			ended <- err
		}()
	}
	return func() (errs []error) {
		cancel()
		for range n {
			errs = append(errs, <-ended)
		}
		return errs
	}
}

// visit sends a request of /a by a client, with a timeout of five seconds.
func (h *harness) visit(client string) error {
	ctx, cancel := context.WithTimeout(lateen.WithClient(h.t.Context(), client), 5*time.Second)
	defer cancel()
	_, _, err := h.call(ctx, spec("/a"))
	return err
}

func TestRequestsOfOneClientThatDoNotEndLeavePlacesToOtherClients(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options fleet.Options
	}{
		{"in one instance", fleet.Options{PerFunction: 1, Processors: 2}},
		{"in four instances", fleet.Options{PerFunction: 4, Processors: 2}},
		{"at the total of instances", fleet.Options{PerFunction: 4, Total: 2, Processors: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.options.Engine = &fakeEngine{boot: 50 * time.Millisecond, handle: forClients}
				h := run(t, tt.options)
				stop := h.occupy(300)
				time.Sleep(10 * time.Second)
				for n := range 20 {
					if err := h.visit(""); err != nil { // a cached page, which is for all clients
						t.Errorf("request %d of no particular client at the same time: %v", n, err)
					}
				}
				for n := range 20 {
					if err := h.visit(fmt.Sprintf("192.0.2.%d", 2+n)); err != nil {
						t.Errorf("client %d at the same time: %v", n, err)
					}
				}
				stop()
				time.Sleep(time.Second)
				for range 20 {
					if err := h.visit(hoarder); err != nil {
						t.Errorf("the client itself, later: %v", err)
					}
				}
			})
		})
	}
}

func TestAFullQueueTakesClientsThatHaveFewerWaitingThanAnother(t *testing.T) {
	for name, client := range map[string]string{"another": "192.0.2.2", "no particular client": ""} {
		t.Run(name, func(t *testing.T) { testFullQueue(t, client) })
	}
}

func testFullQueue(t *testing.T, client string) {
	synctest.Test(t, func(t *testing.T) {
		h := run(t, fleet.Options{
			Engine: &fakeEngine{boot: 50 * time.Millisecond, handle: forClients}, PerFunction: 1, Concurrency: 1, Queue: 50, Processors: 2,
		})
		stopFirst := h.occupy(1)
		time.Sleep(time.Second)
		stop := h.occupy(50)
		synctest.Wait()
		if err := h.visit(hoarder); !errors.Is(err, lateen.ErrFunctionThrottled) {
			t.Errorf("another request of the client: %v, want it refused", err)
		}
		visited := make(chan error, 1)
		go func() { visited <- h.visit(client) }()
		synctest.Wait()
		stopFirst()
		refused := 0
		for _, err := range stop() {
			if errors.Is(err, lateen.ErrFunctionThrottled) {
				refused++
			}
		}
		if err := <-visited; err != nil || refused != 1 {
			t.Errorf("a request of another: %v; %d of the client's refused, want 1", err, refused)
		}
	})
}

// The functions of a project share one bound of waiting requests: a client that
// reaches it through some functions does not block other clients of another
// function.
func TestAFullProjectTakesClientsThatHaveFewerWaitingThanAnother(t *testing.T) {
	for name, client := range map[string]string{"another": "192.0.2.2", "no particular client": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := run(t, fleet.Options{Engine: &fakeEngine{boot: time.Second}, Queue: 10, ProjectQueue: 30, Processors: 2})
				ask := func(client, path string) <-chan error {
					asked := make(chan error, 1)
					go func() {
						_, _, err := h.call(lateen.WithClient(t.Context(), client), spec(path))
						asked <- err
					}()
					synctest.Wait()
					return asked
				}
				var flood []<-chan error
				for n := range 30 {
					flood = append(flood, ask(hoarder, fmt.Sprintf("/%d", n/10)))
				}
				if err := <-ask(hoarder, "/another"); !errors.Is(err, lateen.ErrFunctionThrottled) {
					t.Errorf("another request of the client: %v, want it refused", err)
				}
				visited := ask(client, "/another")
				refused := 0
				for _, asked := range flood {
					if err := <-asked; errors.Is(err, lateen.ErrFunctionThrottled) {
						refused++
					}
				}
				if err := <-visited; err != nil || refused != 1 {
					t.Errorf("a request of another: %v; %d of the client's refused, want 1", err, refused)
				}
			})
		})
	}
}
