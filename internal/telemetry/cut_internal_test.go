package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestValuesInTheLogAreBounded(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: cutValue}))
	long := strings.Repeat("ü", 50_000)
	log.Error("failed", "path", long, "err", errors.New(long), "n", 7)
	if n := out.Len(); n > 3*maxValue || !strings.Contains(out.String(), "(100000 bytes)") || !strings.Contains(out.String(), "n=7") {
		t.Errorf("the record has %d bytes: %.200s", n, out.String())
	}
}
