package storetest

import (
	"testing"

	"github.com/lateen-dev/lateen/internal/store"
)

func testSetting(t *testing.T, s *store.Store) {
	ctx := t.Context()
	expect := func(want string, wantOK bool) {
		t.Helper()
		got, ok, err := s.GetSetting(ctx, "key")
		check(t, err)
		if got != want || ok != wantOK {
			t.Fatalf("got %q, %v, want %q, %v", got, ok, want, wantOK)
		}
	}
	expect("", false)
	check(t, s.PutSetting(ctx, "key", ""))
	expect("", true)
	check(t, s.PutSetting(ctx, "key", "value"))
	expect("value", true)
}
