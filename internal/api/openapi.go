package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// OpenAPI is a description of the API in OpenAPI 3.1, generated from the table of
// routes and the types of their bodies.
type OpenAPI struct {
	OpenAPI    string                          `json:"openapi"`
	Info       openAPIInfo                     `json:"info"`
	Servers    []openAPIServer                 `json:"servers"`
	Security   []map[string][]string           `json:"security"`
	Tags       []openAPITag                    `json:"tags"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components components                      `json:"components"`
}

type openAPIInfo struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description"`
}

type openAPIServer struct {
	URL         string `json:"url"`
	Description string `json:"description"`
}

type openAPITag struct {
	Name string `json:"name"`
}

type operation struct {
	OperationID string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security,omitzero"` // empty: no token is required
	Parameters  []parameter           `json:"parameters,omitempty"`
	RequestBody *requestBody          `json:"requestBody,omitempty"`
	Responses   map[string]response   `json:"responses"`
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Required    bool    `json:"required,omitempty"`
	Description string  `json:"description,omitempty"`
	Schema      *schema `json:"schema"`
}

type requestBody struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type response struct {
	Description string           `json:"description"`
	Content     map[string]media `json:"content,omitempty"`
}

type media struct {
	Schema *schema `json:"schema,omitempty"`
}

type components struct {
	Schemas         map[string]*schema        `json:"schemas"`
	SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
}

type securityScheme struct {
	Type   string `json:"type"`
	Scheme string `json:"scheme"`
}

// schema is the part of JSON Schema that Go types need.
type schema struct {
	Ref        string             `json:"$ref,omitempty"`
	Type       any                `json:"type,omitempty"` // a string or a list of strings
	Format     string             `json:"format,omitempty"`
	About      string             `json:"description,omitempty"`
	Enum       []string           `json:"enum,omitempty"`
	Default    any                `json:"default,omitempty"`
	Minimum    *int               `json:"minimum,omitempty"`
	Maximum    *int               `json:"maximum,omitempty"`
	Items      *schema            `json:"items,omitempty"`
	AnyOf      []*schema          `json:"anyOf,omitempty"`
	Properties map[string]*schema `json:"properties,omitempty"`
	Values     *schema            `json:"additionalProperties,omitempty"`
	Required   []string           `json:"required,omitempty"`

	name string // of an object among the components
}

func describe(a *API, w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(a.document()) // a disconnected client is not an error
	return nil
}

// document returns the description as JSON. An API computes it once.
func document() []byte {
	b, err := json.Marshal(Describe())
	if err != nil {
		panic(err) // it has only types of this package
	}
	return append(b, '\n')
}

// Describe returns the description of the API.
func Describe() *OpenAPI {
	doc := &OpenAPI{
		OpenAPI: "3.1.0",
		Info: openAPIInfo{
			Title: "Lateen", Version: "1",
			Description: "The REST API of a Lateen platform, compatible with the vercel CLI. Paths have the version that the CLI uses; requests may use any version or none. Times are Unix milliseconds; durations are nanoseconds, except in fields whose name ends in Ms. The query parameter teamId (an id) or slug selects the team. `lateen --json` prints these objects unchanged. A list that is longer than its limit has pagination.next: request the next page with until=next (cursor=next for the audit log). This version may get additional fields; no field is renamed or removed.",
		},
		Servers: []openAPIServer{
			{URL: "/", Description: "the platform that serves this document"},
			{URL: "http://127.0.0.1:8080", Description: "`lateen up` on this machine"},
			{URL: "https://api.example.com", Description: "`lateen up --domain example.com`, behind TLS"},
		},
		Security: []map[string][]string{{"token": {}}},
		Paths:    make(map[string]map[string]operation),
		Components: components{
			Schemas:         make(map[string]*schema),
			SecuritySchemes: map[string]securityScheme{"token": {Type: "http", Scheme: "bearer"}},
		},
	}
	s := schemas(doc.Components.Schemas)
	failure := response{Description: "error", Content: jsonContent(s.of(reflect.TypeFor[errorBody]()))}
	tags := make(map[string]bool)
	for _, row := range routes() {
		tags[row.Tag] = true
		for _, path := range append([]string{row.Path}, strings.Fields(row.Also)...) {
			path = strings.ReplaceAll(path, "...}", "}")
			if doc.Paths[path] == nil {
				doc.Paths[path] = make(map[string]operation)
			}
			doc.Paths[path][strings.ToLower(row.Method)] = operationOf(row, path, s, failure)
		}
	}
	doc.Paths["/metrics"] = map[string]operation{"get": metricsOperation(failure)}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		doc.Tags = append(doc.Tags, openAPITag{Name: name})
	}
	return doc
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func operationOf(row route, path string, s schemas, failure response) operation {
	op := operation{
		OperationID: strings.ToLower(row.Method) + pathParameter.ReplaceAllString(strings.ReplaceAll(unversioned(path), "/", "_"), "$1"),
		Summary:     row.Summary, Tags: []string{row.Tag}, Responses: map[string]response{"default": failure},
	}
	op.OperationID = strings.NewReplacer("-", "_", ".", "_").Replace(op.OperationID)
	if row.Needs == lateen.Anonymous {
		op.Security = []map[string][]string{}
	}
	text := &schema{Type: "string"}
	for _, m := range pathParameter.FindAllStringSubmatch(path, -1) {
		op.Parameters = append(op.Parameters, parameter{Name: m[1], In: "path", Required: true, Schema: text})
	}
	for name := range strings.FieldsSeq(row.Query) {
		op.Parameters = append(op.Parameters, parameter{Name: name, In: "query", Description: parameterDocs[name], Schema: querySchema(name)})
	}
	switch {
	case row.in != nil:
		op.RequestBody = &requestBody{Required: true, Content: jsonContent(s.input(row.in))}
	case row.stream == octets:
		op.RequestBody = &requestBody{Required: true, Content: map[string]media{octets: {}}}
	}
	code, ok := http.StatusOK, response{Description: "done"}
	switch {
	case row.out != nil:
		ok.Content = jsonContent(s.of(row.out))
		if chooser, chooses := reflect.Zero(row.out).Interface().(statusChooser); chooses {
			code = chooser.status()
		}
	case row.stream != "":
		ok.Content = map[string]media{row.stream: {}}
	default:
		code = http.StatusNoContent
	}
	op.Responses[strconv.Itoa(code)] = ok
	return op
}

func jsonContent(s *schema) map[string]media {
	return map[string]media{"application/json": {Schema: s}}
}

// schemas are the named types that a description refers to.
type schemas map[string]*schema

// input returns the schema of a request body: none of its fields is required.
func (s schemas) input(t reflect.Type) *schema {
	if item, ok := itemOf(t); ok {
		s.input(item)
	} else if t.Kind() == reflect.Struct {
		s.of(t)
		s[schemaName(t)].Required = nil
	}
	return s.of(t)
}

// itemOf returns the item type of a [oneOrMany].
func itemOf(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() != reflect.Struct || !strings.HasPrefix(t.Name(), "oneOrMany[") {
		return nil, false
	}
	items, ok := t.FieldByName("Items")
	return items.Type.Elem(), ok
}

// schemaName returns the name of a type in the description.
func schemaName(t reflect.Type) string { return strings.ToUpper(t.Name()[:1]) + t.Name()[1:] }

// of returns the schema of the JSON form of a type.
func (s schemas) of(t reflect.Type) *schema {
	if words := enums()[t]; words != nil {
		return &schema{Type: "string", Enum: words}
	}
	switch t {
	case reflect.TypeFor[lateen.Millis]():
		return &schema{Type: "integer", Format: "int64", About: "Unix milliseconds"}
	case reflect.TypeFor[time.Duration]():
		return &schema{Type: "integer", Format: "int64", About: "nanoseconds"}
	case reflect.TypeFor[environmentList]():
		text := &schema{Type: "string"}
		return &schema{AnyOf: []*schema{text, {Type: "array", Items: text}}}
	case reflect.TypeFor[json.RawMessage]():
		return &schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		inner := *s.of(t.Elem())
		if kind, simple := inner.Type.(string); simple && inner.Enum == nil {
			inner.Type = []string{kind, "null"}
			return &inner
		}
		return &schema{AnyOf: []*schema{&inner, {Type: "null"}}}
	case reflect.Struct:
		return s.ofStruct(t)
	case reflect.Slice, reflect.Array:
		return &schema{Type: "array", Items: s.of(t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", Values: s.of(t.Elem())}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Interface:
		return &schema{}
	default:
		return &schema{Type: "integer"}
	}
}

// ofStruct adds a struct to the components and returns a reference to it.
func (s schemas) ofStruct(t reflect.Type) *schema {
	if item, ok := itemOf(t); ok {
		one := s.of(item)
		return &schema{AnyOf: []*schema{one, {Type: "array", Items: one}}}
	}
	name := schemaName(t)
	ref := &schema{Ref: "#/components/schemas/" + name}
	if _, known := s[name]; known {
		return ref
	}
	out := &schema{name: name, Type: "object", Properties: make(map[string]*schema)}
	s[name] = out // before its fields, which may refer to it
	s.fields(out, t)
	slices.Sort(out.Required)
	return ref
}

// fields adds the fields of a struct, including those of embedded structs.
func (s schemas) fields(out *schema, t reflect.Type) {
	for field := range t.Fields() {
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.fields(out, inner)
			continue
		}
		if !field.IsExported() || name == "-" || name == "" {
			continue
		}
		out.Properties[name] = described(s.of(field.Type), out.name+"."+name)
		optional := strings.Contains(rest, "omitempty") || strings.Contains(rest, "omitzero")
		if !optional && !slices.Contains(out.Required, name) {
			out.Required = append(out.Required, name)
		}
	}
}
