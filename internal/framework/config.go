package framework

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Config returns the names of the fields in the vercel.json of the project in dir. It
// returns none if the file is missing or malformed, which `vercel build` reports.
func Config(dir string) []string {
	b, err := os.ReadFile(filepath.Join(dir, "vercel.json"))
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(fields))
}
