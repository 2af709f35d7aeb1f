package buildoutput

import (
	"errors"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Limits of .vc-config.json.
const (
	functionSuffix = ".func"
	functionConfig = ".vc-config.json"
	maxEnvValue    = 64 << 10
	maxAssets      = 1000
	maxInstances   = 1024 // concurrent instances of one function
)

var (
	nodePattern   = regexp.MustCompile(`^nodejs(\d+)\.x$`)
	pythonPattern = regexp.MustCompile(`^python3(\.\d+)?$`)
	bunPattern    = regexp.MustCompile(`^bun1(\.x)?$`)
)

// oldestNode is the oldest supported major version of Node.js.
const oldestNode = 22

// readFunctions reads the functions and their outputs.
func (r *reader) readFunctions() error {
	root := path.Join(r.dir, "functions")
	m := r.out.Manifest
	m.Functions = make(map[string]lateen.Function)
	m.Outputs = make(map[string]string)
	links := make(map[string]string) // name → path of the link in the upload
	for rel, at := range r.upload.under(root) {
		name, inner, ok := splitFunction(rel)
		switch {
		case !ok:
			continue
		case name == "" || strings.HasSuffix(name, "/"):
			return lateen.ErrBuildOutput.With("functions/%s has no name", rel)
		case inner == "" && r.upload.files[at].Link != "":
			links[name] = at
			continue
		case inner == "":
			return lateen.ErrBuildOutput.With("functions/%s must be a directory or a link to one", rel)
		case m.Functions[outputPath(name)].Runtime != "":
			continue
		}
		fn, err := r.readFunction(name)
		if err != nil {
			return err
		}
		m.Functions[outputPath(name)] = *fn
	}
	for name := range m.Functions {
		m.Outputs[name] = name
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		target, err := r.linkedFunction(root, links[name])
		if err != nil {
			return err
		}
		m.Outputs[outputPath(name)] = target
	}
	// A consumer of a queue is called only by the queue.
	maps.DeleteFunc(m.Outputs, func(_, fn string) bool { return len(m.Functions[fn].Triggers) > 0 })
	r.noticeRuntimes()
	if len(r.regional) > 0 {
		r.notice("regions of %s have no effect: %s", several(r.regional), OneRegion)
	}
	return nil
}

// OneRegion is the reason why a choice of regions has no effect.
const OneRegion = "there is one region"

// splitFunction splits a path under functions/ into the name of its function and the
// path within the function.
func splitFunction(rel string) (name, inner string, ok bool) {
	if before, after, ok := strings.Cut(rel, functionSuffix+"/"); ok {
		return before, after, true
	}
	name, ok = strings.CutSuffix(rel, functionSuffix)
	return name, "", ok
}

// linkedFunction returns the name in the manifest of the function at the end of the
// link at, possibly through further links.
func (r *reader) linkedFunction(root, at string) (string, error) {
	end, err := r.upload.resolve(at)
	if err != nil {
		return "", err
	}
	if rel, ok := strings.CutPrefix(end, root+"/"); ok {
		if name, ok := strings.CutSuffix(rel, functionSuffix); ok {
			if _, ok := r.out.Manifest.Functions[outputPath(name)]; ok {
				return outputPath(name), nil
			}
		}
	}
	return "", lateen.ErrBuildOutput.With("%s leads to %s, which is not a function", at, end)
}

// Runs reports whether the platform supports a runtime, independent of the host.
func Runs(runtime string) bool {
	switch runtime {
	case "edge", "executable", "wasi":
		return true
	}
	return nodePattern.MatchString(runtime) || pythonPattern.MatchString(runtime) || bunPattern.MatchString(runtime) || isLambda(runtime)
}

// isLambda reports whether functions with a runtime fetch their requests from the
// AWS Lambda Runtime API, one at a time.
func isLambda(runtime string) bool { return strings.HasPrefix(runtime, "provided.") }

// noticeRuntimes adds notices about functions that will run on a newer Node.js than
// requested, and about functions that will not run at all.
func (r *reader) noticeRuntimes() {
	old, foreign := make(map[string][]string), make(map[string][]string) // runtime → functions
	for name, fn := range r.out.Manifest.Functions {
		match := nodePattern.FindStringSubmatch(fn.Runtime)
		switch {
		case !Runs(fn.Runtime):
			foreign[fn.Runtime] = append(foreign[fn.Runtime], name)
		case match != nil:
			if major, err := strconv.Atoi(match[1]); err == nil && major < oldestNode {
				old[fn.Runtime] = append(old[fn.Runtime], name)
			}
		}
	}
	for _, runtime := range slices.Sorted(maps.Keys(old)) {
		r.notice("%s is past its end of life: %s will run on Node %d", runtime, several(old[runtime]), oldestNode)
	}
	for _, runtime := range slices.Sorted(maps.Keys(foreign)) {
		r.notice("%s is not run: %s will answer 501", runtime, several(foreign[runtime]))
	}
}

// several names up to three functions and counts the others.
func several(names []string) string {
	slices.Sort(names)
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + " and " + strconv.Itoa(len(names)-most) + " others"
}

// readFunction reads the function in functions/<name>.func.
func (r *reader) readFunction(name string) (*lateen.Function, error) {
	dir := path.Join("functions", name+functionSuffix)
	config := path.Join(dir, functionConfig)
	if !r.has(config) {
		return nil, lateen.ErrBuildOutput.With("%s has no %s", dir, functionConfig)
	}
	doc, err := r.document(config, maxFunction)
	if err != nil {
		return nil, err
	}
	v := doc.value()
	fn := &lateen.Function{
		Runtime:        v.field("runtime").text(128),
		Environment:    readEnvironment(v.field("environment")),
		Memory:         v.field("memory").integer(128, 10_240),
		MaxDuration:    readDuration(v.field("maxDuration")),
		MaxConcurrency: v.field("maxConcurrency").integer(1, 8192),
		MinInstances:   v.field("minInstances").integer(0, maxInstances),
		MaxInstances:   v.field("maxInstances").integer(1, maxInstances),
		Architecture:   v.field("architecture").oneOf("x86_64", "arm64"),
		Framework:      readFramework(v.field("framework")),
		OperationType:  v.field("operationType").text(64),
		AllowQuery:     v.field("allowQuery").texts(maxEntries, maxText),
		SupportsCancel: v.field("supportsCancellation").flag(),
		Triggers:       readTriggers(v.field("experimentalTriggers"), name),
	}
	if v.field("type").text(64) == "EdgeFunction" {
		fn.Runtime = "edge"
	}
	if !v.field("regions").empty() || !v.field("functionFailoverRegions").empty() {
		r.regional = append(r.regional, outputPath(name))
	}
	if fn.Runtime == "" {
		v.field("runtime").fail("is missing")
	}
	if fn.MaxInstances > 0 && fn.MinInstances > fn.MaxInstances {
		v.field("minInstances").fail("%d is more than maxInstances, %d", fn.MinInstances, fn.MaxInstances)
	}
	if fn.Edge() {
		readEdge(v, fn)
	} else {
		readLambda(v, fn)
	}
	mapped := v.field("filePathMap")
	if err := doc.failure(); err != nil {
		return nil, err
	}
	tree, err := r.readTree(dir, mapped)
	if err != nil {
		return nil, err
	}
	if err := checkEntry(v, fn, tree); err != nil {
		return nil, err
	}
	fn.Tree, err = r.keepTree(dir, tree)
	return fn, err
}

func readEdge(v value, fn *lateen.Function) {
	fn.Handler = path.Clean(v.field("entrypoint").must().text(maxText))
	fn.EdgeEnvVarsInUse = v.field("envVarsInUse").texts(maxEntries, maxText)
	for _, asset := range v.field("assets").list(maxAssets) {
		fn.EdgeAssets = append(fn.EdgeAssets, lateen.Asset{
			Name: asset.field("name").must().text(maxText),
			Path: path.Clean(asset.field("path").must().text(maxText)),
		})
	}
}

func readLambda(v value, fn *lateen.Function) {
	fn.Handler = v.field("handler").must().text(maxText)
	if fn.Runtime != "container" { // its handler is the name of an image
		fn.Handler = path.Clean(fn.Handler)
		if leaves(fn.Handler) {
			v.field("handler").fail("%q leads out of the function", fn.Handler)
		}
	}
	fn.LauncherType = v.field("launcherType").text(64)
	fn.AddHelpers = v.field("shouldAddHelpers").flag()
	fn.AddSourcemaps = v.field("shouldAddSourcemapSupport").flag()
	fn.UseWebAPI = v.field("useWebApi").flag()
	fn.AWSHandler = v.field("awsLambdaHandler").text(maxText)
	streams := v.first("supportsResponseStreaming", "experimentalResponseStreaming")
	switch {
	case fn.AWSHandler != "":
		fn.NoStreaming = true
	case streams.present():
		fn.NoStreaming = !streams.flag()
	default:
		fn.NoStreaming = fn.LauncherType != "Nodejs" && fn.Runtime != "wasi"
	}
	if isLambda(fn.Runtime) {
		fn.MaxConcurrency = 1
	}
}

func readEnvironment(v value) map[string]string {
	env := v.textMap(maxEntries, maxEnvValue)
	for name, text := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			v.fail("%q is not the name of a variable", name)
		}
		if strings.ContainsRune(text, 0) {
			v.field(name).fail("has a NUL character")
		}
	}
	return env
}

// readDuration reads seconds; "max" is -1.
func readDuration(v value) int {
	if s, ok := v.v.(string); ok && s == "max" {
		return -1
	}
	return v.integer(1, 3600)
}

func readTriggers(v value, name string) []lateen.Trigger {
	var triggers []lateen.Trigger
	for _, item := range v.list(maxEntries) {
		t := lateen.Trigger{
			Type:              item.field("type").must().oneOf("queue/v2beta", "queue/v1beta", "schedule/v1beta"),
			Topic:             item.field("topic").text(maxText),
			Consumer:          item.field("consumer").text(maxText),
			MaxDeliveries:     item.field("maxDeliveries").integer(1, 1<<20),
			RetryAfterSeconds: item.field("retryAfterSeconds").integer(0, 1<<31-1),
			InitialDelay:      item.field("initialDelaySeconds").integer(0, 1<<31-1),
			MaxConcurrency:    item.field("maxConcurrency").integer(1, 1<<20),
		}
		if strings.HasPrefix(t.Type, "queue/") {
			item.field("topic").must()
			t.Consumer = orElse(t.Consumer, consumerOf(name))
		}
		triggers = append(triggers, t)
	}
	return triggers
}

// consumerOf encodes the path of a function as the name of a queue's consumer:
// api/_test.js is api_S__test_Djs.
func consumerOf(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c == '_':
			b.WriteString("__")
		case c == '/':
			b.WriteString("_S")
		case c == '.':
			b.WriteString("_D")
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-':
			b.WriteByte(c)
		default:
			b.WriteString("_" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		}
	}
	return b.String()
}

// checkEntry checks that the files with which a function starts are in its tree.
func checkEntry(v value, fn *lateen.Function, tree *lateen.Tree) error {
	switch {
	case fn.Edge():
		if !contains(tree, fn.Handler) {
			v.field("entrypoint").fail("%q is not among the function's files", fn.Handler)
		}
		for i, asset := range fn.EdgeAssets {
			if !contains(tree, asset.Path) {
				v.field("assets").list(maxAssets)[i].field("path").fail("%q is not among the function's files", asset.Path)
			}
		}
	case fn.Runtime == "executable", isLambda(fn.Runtime):
		checkProgram(v, fn, tree)
	case fn.LauncherType == "Nodejs" && fn.AWSHandler == "", fn.Runtime == "wasi":
		if !contains(tree, fn.Handler) {
			v.field("handler").fail("%q is not among the function's files", fn.Handler)
		}
	}
	return v.doc.failure()
}

// checkProgram checks that there is an executable file: the handler, or bootstrap,
// which AWS Lambda executes for any handler.
func checkProgram(v value, fn *lateen.Function, tree *lateen.Tree) {
	for _, name := range []string{fn.Handler, "bootstrap"} {
		i := slices.IndexFunc(tree.Entries, func(e lateen.TreeEntry) bool { return e.Path == name })
		switch {
		case i < 0:
			continue
		case tree.Entries[i].Exec, tree.Entries[i].Link != "":
			return
		}
		v.field("handler").fail("%q is not executable", name)
		return
	}
	v.field("handler").fail("%q is not among the function's files", fn.Handler)
}

// contains reports whether name, possibly with an extension, is an entry of t, or
// may be one through a link.
func contains(t *lateen.Tree, name string) bool {
	return slices.ContainsFunc(t.Entries, func(e lateen.TreeEntry) bool {
		return e.Path == name || strings.HasPrefix(e.Path, name+".") || e.Link != "" && strings.HasPrefix(name, e.Path+"/")
	})
}

// inTree adds the function's directory to an error of [lateen.Tree.Validate].
func inTree(dir string, err error) error {
	if e, ok := errors.AsType[*lateen.Error](err); ok {
		return e.With("%s: %s", dir, e.Message)
	}
	return err
}
