package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/datacache"
	"github.com/lateen-dev/lateen/internal/store"
)

var update = flag.Bool("update", false, "write the wire format of a new protocol number")

// Processes whose programs have the same number work together, so each change of the
// wire format needs another number. testdata/protocol.golden has an example of each
// message, in which no field is empty. After a change of the examples alone, remove it
// before the update.
func TestTheWireFormatBelongsToItsProtocolNumber(t *testing.T) {
	golden := filepath.Join("testdata", "protocol.golden")
	first := fmt.Sprintf("protocol %d\n", protocol)
	got := first + wireFormat(t)
	text, err := os.ReadFile(golden)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	want := string(text)
	switch numbered := strings.HasPrefix(want, first); {
	case want == got:
	case numbered:
		t.Errorf("the wire format has changed: increase `protocol` in protocol.go, then run go test ./internal/worker -run WireFormat -update\n%s", cmp.Diff(want, got))
	case *update:
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s has not the protocol %d: run go test ./internal/worker -run WireFormat -update", golden, protocol)
	}
}

// wireFormat describes the messages between the two processes.
func wireFormat(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "\nfields: %s, %s, %s\n", protocolField, versionField, processField)
	calls := map[string][2]any{ // request and value of the reply, as JSON; nil is neither
		pathCancel:   {cancelRequest{}, nil},
		pathEvents:   {eventsRequest{}, eventsResponse{}},
		pathUsage:    {usageRequest{}, store.UsageBatch{}},
		pathPrewarm:  {lateen.FunctionSpec{}, nil},
		pathPrepare:  {lateen.FunctionSpec{}, nil},
		pathProduce:  {produceRequest{}, nil},
		pathForget:   {lateen.DeploymentID(""), nil},
		pathProvide:  {lateen.Function{}, nil},
		pathFunction: {lateen.ProjectID(""), []lateen.FunctionState{}},
		pathPrepared: {preparedRequest{}, lateen.Preparation{}},
		pathInvoke:   {}, // frames
		pathDebug:    {}, // a .tar
		pathData:     {}, // frames of the package datacache
	}
	for _, path := range paths(t) {
		messages, known := calls[path]
		if !known {
			t.Errorf("add %s to this test", path)
		}
		fmt.Fprintf(&b, "\n%s", path)
		for i, part := range [...]string{"request", "value"} {
			if messages[i] != nil {
				fmt.Fprintf(&b, "\n%s: %s", part, indented(t, messages[i]))
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nreply: %s\n\ninvocation: %s\n", indented(t, reply{}), indented(t, lateen.Invocation{}))
	fmt.Fprintf(&b, "\nframes of %s\n", pathInvoke)
	for _, frame := range frameExamples(t) {
		fmt.Fprintln(&b, quoted(frame))
	}
	fmt.Fprintf(&b, "\nframes of %s\n", pathData)
	for _, frame := range dataExamples(t) {
		fmt.Fprintln(&b, quoted(frame))
	}
	return b.String()
}

// paths returns the paths of worker.go, in its order.
func paths(t *testing.T) (found []string) {
	t.Helper()
	source, err := os.ReadFile("worker.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^\tpath\w+ += "(.*?)"`).FindAllStringSubmatch(string(source), -1) {
		found = append(found, match[1])
	}
	return found
}

// indented returns the JSON of a value of the type of v, all of whose fields are set.
func indented(t *testing.T, v any) string {
	t.Helper()
	full := reflect.New(reflect.TypeOf(v)).Elem()
	fill(full, "text")
	text, err := json.MarshalIndent(full.Interface(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill sets all fields of a value: texts to their own name.
func fill(v reflect.Value, name string) {
	switch at := v.Addr().Interface().(type) {
	case *netip.AddrPort:
		*at = netip.MustParseAddrPort("192.0.2.1:80")
		return
	case *time.Time:
		*at = time.Unix(1, 0).UTC()
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Interface:
		v.Set(reflect.ValueOf(name))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), name)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, "key")
		fill(value, name)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for field, value := range v.Fields() {
			if field.IsExported() {
				fill(value, field.Name)
			}
		}
	default:
		panic("no example of " + v.Type().String())
	}
}

// quoted returns a line with bytes, in which quotes stay as they are.
func quoted(b []byte) string { return strings.ReplaceAll(strconv.Quote(string(b)), `\"`, `"`) }

// frameExamples returns a frame of each kind. Function and invocation are empty: they are
// JSON of types that have an example of their own.
func frameExamples(t *testing.T) [][]byte {
	t.Helper()
	header := http.Header{"Name": {"one", "two"}}
	head := &call{
		id: "id", request: "request", client: "client", method: "method", host: "host",
		url:    url.URL{Scheme: "scheme", Opaque: "opaque", Host: "url-host", Path: "path", RawPath: "raw-path", RawQuery: "raw-query"},
		header: header, length: 1, body: true, trailer: []string{"Trailer"},
	}
	frames := [][]byte{seal(append(make([]byte, frameHeader), "data"...), kindData), seal(make([]byte, frameHeader), kindBegin)}
	for _, encode := range []func() ([]byte, error){
		head.encode,
		(&answer{status: http.StatusOK, header: header, length: 1}).encode,
		(&ending{trailer: header, err: (&lateen.Error{Code: lateen.Internal, Reason: "reason", Message: "message"}).Because(errors.New("cause"))}).encode,
	} {
		frame, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

// fixed is a data cache with one value.
type fixed struct{ datacache.Discard }

// Get implements [datacache.Cache].
func (fixed) Get(context.Context, datacache.Owner, string, []string) (datacache.Value, error) {
	return datacache.Value{State: datacache.Fresh, Now: 1, Meta: "meta", Size: 4, Body: io.NopCloser(strings.NewReader("body"))}, nil
}

// dataExamples returns the requests that read, store and invalidate data, and their
// replies.
func dataExamples(t *testing.T) [][]byte {
	t.Helper()
	requests, replies := new(recorded), new(recorded)
	synctest.Test(t, func(t *testing.T) {
		requests.ReadWriteCloser, replies.ReadWriteCloser = net.Pipe()
		remote := new(datacache.Remote)
		go func() { _ = datacache.NewServer(fixed{}).ServeRemote(t.Context(), replies) }()
		go remote.Attach(requests)
		synctest.Wait() // until it is attached
		owner, tags := datacache.Owner{Project: "project", Deployment: "deployment"}, []string{"tag"}
		_, got := remote.Get(t.Context(), owner, "key", tags)
		_, put := remote.Put(t.Context(), owner, "key", datacache.Item{Body: []byte("body"), Meta: "meta", Tags: tags, Started: 1, Usable: time.Second})
		err := remote.Invalidate(t.Context(), owner, datacache.Invalidation{Tags: tags, Grace: time.Second, ID: "name"})
		if err := errors.Join(got, put, err); err != nil {
			t.Error(err)
		}
		remote.Close()
	})
	return append(requests.writes, replies.writes...)
}

// recorded is a connection whose writes are recorded.
type recorded struct {
	io.ReadWriteCloser

	writes [][]byte
}

// Write implements [io.Writer].
func (r *recorded) Write(b []byte) (int, error) {
	r.writes = append(r.writes, bytes.Clone(b))
	return r.ReadWriteCloser.Write(b)
}
