package api_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/api"
)

var update = flag.Bool("update", false, "update the golden files")

// The description in the reference equals the served one.
func TestOpenAPI(t *testing.T) {
	want, err := json.MarshalIndent(api.Describe(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	golden := filepath.Join("..", "..", "docs", "reference", "openapi.json")
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(golden), 0o755), os.WriteFile(golden, want, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(want)); diff != "" {
		t.Errorf("docs/reference/openapi.json differs from the route table; run go test ./internal/api -run OpenAPI -update\n%s", diff)
	}
	seen := make(map[string]bool)
	for path, operations := range api.Describe().Paths {
		for method, op := range operations {
			if seen[op.OperationID] {
				t.Errorf("%s is the name of two operations", op.OperationID)
			}
			seen[op.OperationID] = true
			if op.Summary == "" || len(op.Tags) == 0 {
				t.Errorf("%s %s has no summary", method, path)
			}
			for _, p := range op.Parameters {
				if p.In == "query" && p.Description == "" {
					t.Errorf("%s %s does not describe %s", method, path, p.Name)
				}
			}
		}
	}
}
