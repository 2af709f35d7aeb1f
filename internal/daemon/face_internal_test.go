package daemon

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/lateen-dev/lateen/internal/control/controltest"
)

func TestMetricsWithoutADatabaseDoNotBlameTheToken(t *testing.T) {
	p := controltest.New(t)
	if err := p.Store.Close(); err != nil {
		t.Fatal(err)
	}
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Authorization", "Bearer "+p.Token)
	withMetrics(http.NotFoundHandler(), p.Control, http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("/metrics answers %d %s", w.Code, w.Body)
	}
}
