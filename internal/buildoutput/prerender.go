package buildoutput

import (
	"path"
	"strings"

	"github.com/lateen-dev/lateen"
)

const (
	prerenderSuffix = ".prerender-config.json"
	maxPrerender    = 1 << 20 // limit of one configuration
)

// readPrerenders reads the prerenders. It must run after readFunctions.
func (r *reader) readPrerenders() error {
	m := r.out.Manifest
	m.Prerenders = make(map[string]lateen.Prerender)
	for rel := range r.upload.under(path.Join(r.dir, "functions")) {
		name, ok := strings.CutSuffix(rel, prerenderSuffix)
		if _, _, inFunction := splitFunction(rel); !ok || inFunction {
			continue
		}
		file, at := path.Join("functions", rel), outputPath(name)
		p, err := r.readPrerender(file)
		if err != nil {
			return err
		}
		fn, reached := m.Outputs[at]
		switch {
		case !reached && p.Fallback == nil:
			return lateen.ErrBuildOutput.With("%s has neither a function nor a fallback", file)
		case reached && isEdge(m, fn):
			return lateen.ErrBuildOutput.With("%s is for an edge function, whose responses can't be cached", file)
		}
		m.Prerenders[at] = *p
	}
	return nil
}

func isEdge(m *lateen.Manifest, name string) bool {
	fn := m.Functions[name]
	return fn.Edge()
}

// readPrerender reads one configuration.
func (r *reader) readPrerender(file string) (*lateen.Prerender, error) {
	doc, err := r.document(file, maxPrerender)
	if err != nil {
		return nil, err
	}
	v := doc.value()
	p := &lateen.Prerender{
		Expiration:      readExpiration(v.field("expiration")),
		StaleExpiration: v.field("staleExpiration").integer(0, 1<<31-1),
		Group:           v.field("group").integer(1, 1<<31-1),
		BypassToken:     v.field("bypassToken").text(maxText),
		AllowQuery:      v.field("allowQuery").texts(maxEntries, maxText),
		AllowHeader:     v.field("allowHeader").texts(maxEntries, maxText),
		PassQuery:       v.field("passQuery").flag(),
		SourcePath:      v.field("sourcePath").text(maxText),
		ExposeErrBody:   v.field("exposeErrBody").flag(),
		BypassFor:       readHas(v.field("experimentalBypassFor")),
		PartialFallback: v.field("partialFallback").flag(),
		OnMiss:          v.field("onMiss").oneOf("sync", "dynamic"),
	}
	if at := v.field("experimentalStreamingLambdaPath").text(maxText); at != "" {
		p.StreamingPath = outputPath(at)
	}
	if chain := v.field("chain"); chain.present() {
		p.Chain = &lateen.Chain{
			Output:  outputPath(chain.field("outputPath").must().text(maxText)),
			Headers: readHeaders(chain.field("headers")),
		}
	}
	if metadata := v.field("initialMetadata"); metadata.present() {
		p.Metadata = &lateen.RenderMetadata{
			Compute:  metadata.field("compute").oneOf("blocking", "resuming", "static"),
			HTMLSize: int64(metadata.field("htmlSize").integer(0, 1<<40)),
		}
	}
	if p.Fallback, err = r.readFallback(v, path.Dir(file)); err != nil {
		return nil, err
	}
	return p, doc.failure()
}

// readExpiration reads seconds; nil for false, which means: until a purge.
func readExpiration(v value) *int {
	if never, ok := v.v.(bool); ok && !never {
		return nil
	}
	seconds := v.must().integer(0, 1<<31-1)
	return &seconds
}

// readFallback reads the response from the build. v names it by its path relative to
// dir, the directory of the configuration, as a string or in an object.
func (r *reader) readFallback(v value, dir string) (*lateen.Fallback, error) {
	fallback := v.field("fallback")
	if !fallback.present() {
		return nil, nil
	}
	name, contentType := fallback, ""
	if _, ok := fallback.v.(map[string]any); ok {
		name = fallback.field("fsPath").must()
		contentType = fallback.field("contentType").text(maxText)
	}
	rel := name.text(maxText)
	if v.doc.err != nil {
		return nil, v.doc.failure()
	}
	file, err := r.upload.find(path.Join(r.dir, dir, rel))
	if err != nil {
		name.fail("%v", err)
		return nil, v.doc.failure()
	}
	f := &lateen.Fallback{
		Blob:    file.Blob,
		Status:  v.field("initialStatus").integer(200, 999),
		Headers: readHeaders(v.field("initialHeaders")),
	}
	for key, text := range f.Headers {
		if strings.EqualFold(key, "content-type") {
			contentType = text
		}
	}
	f.ContentType = orElse(contentType, ContentType(rel))
	return f, nil
}

// readHeaders reads an object of strings, or of lists, which are joined.
func readHeaders(v value) map[string]string {
	names := v.names(maxHeaders)
	if len(names) == 0 {
		return nil
	}
	headers := make(map[string]string, len(names))
	for _, name := range names {
		item := v.field(name).must()
		if _, ok := item.v.([]any); ok {
			headers[name] = strings.Join(item.texts(maxHeaders, maxHeaderValue), ", ")
		} else {
			headers[name] = item.text(maxHeaderValue)
		}
	}
	return headers
}
