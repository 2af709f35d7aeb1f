package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestADisconnectedClientIsNotLoggedAsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	(&API{}).fail(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v2/user", nil), errors.New("the query was cut off"))
	if w.Code != statusClientGone {
		t.Errorf("answered %d, want %d", w.Code, statusClientGone)
	}
}
