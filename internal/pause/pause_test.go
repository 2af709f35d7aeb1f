package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lateen-dev/lateen/internal/pause"
)

func TestAPauseEndsAfterItsTimeOrWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		pause.For(t.Context(), time.Hour)
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		pause.For(ctx, time.Hour)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v after the end of its context", took)
		}
	})
}
