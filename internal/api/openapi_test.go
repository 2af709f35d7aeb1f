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

var update = flag.Bool("update", false, "write the golden files anew")

// The description in the reference is the one that is served.
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
		t.Errorf("docs/reference/openapi.json is not what the table says; run go test ./internal/api -run OpenAPI -update\n%s", diff)
	}
	seen := make(map[string]bool)
	for path, operations := range api.Describe().Paths {
		for method, op := range operations {
			if seen[op.OperationID] {
				t.Errorf("%s is the name of two operations", op.OperationID)
			}
			seen[op.OperationID] = true
			if op.Summary == "" || len(op.Tags) == 0 {
				t.Errorf("%s %s says nothing about itself", method, path)
			}
			for _, p := range op.Parameters {
				if p.In == "query" && p.Description == "" {
					t.Errorf("%s %s does not say what %s is", method, path, p.Name)
				}
			}
		}
	}
}
