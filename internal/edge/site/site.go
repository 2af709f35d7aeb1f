// Package site has the deployments that are ready to serve, and the table of their hosts.
package site

import (
	"slices"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/predict"
	"github.com/lateen-dev/lateen/internal/route"
)

// Site is a deployment ready to serve. It is immutable.
type Site struct {
	lateen.Site

	Router  *route.Router
	Groups  map[int][]string               // outputs of each group of pages that has several, in order
	Specs   map[string]lateen.FunctionSpec // function specs by name in the manifest's Functions
	Traffic *predict.Project               // learned behavior of clients, over all deployments of the project
}

// Approximate memory of the parts of a manifest besides their texts, in bytes.
const (
	fileBytes     = 512 // including its digest
	functionBytes = 1024
	outputBytes   = 64
)

// weight returns the approximate memory of s in bytes.
func (s *Site) weight() int64 {
	n := 4096 + s.Router.Weight()
	for path, file := range s.Manifest.Files {
		n += fileBytes + int64(len(path)+192*len(file.Encodings))
	}
	for name, fn := range s.Manifest.Functions {
		n += functionBytes + int64(len(name)) + textBytes(fn.Environment)*2 + textBytes(s.Env) // each function has its own environment
	}
	n += textBytes(s.Manifest.Outputs) + textBytes(s.Env)
	for path, p := range s.Manifest.Prerenders {
		n += fileBytes + int64(len(path)+len(p.AllowQuery)*outputBytes)
		if p.Fallback != nil {
			n += fileBytes + textBytes(p.Fallback.Headers)
		}
	}
	for i := range s.Manifest.Routes {
		r := &s.Manifest.Routes[i]
		n += fileBytes + int64(len(r.Src)+len(r.Dest)) + textBytes(r.Headers)
	}
	return n
}

func textBytes(texts map[string]string) (n int64) {
	for key, value := range texts {
		n += outputBytes + int64(len(key)+len(value))
	}
	return n
}

// groupsOf returns the outputs of each group of a manifest that has several, in order.
func groupsOf(m *lateen.Manifest) map[int][]string {
	groups := map[int][]string{}
	for output, p := range m.Prerenders {
		if _, run := m.Outputs[output]; run && p.Group > 0 {
			groups[p.Group] = append(groups[p.Group], output)
		}
	}
	for number, outputs := range groups {
		if slices.Sort(outputs); len(outputs) < 2 {
			delete(groups, number)
		}
	}
	return groups
}
