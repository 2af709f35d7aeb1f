package lateen

import "encoding/json"

// Route is one entry of a deployment's route table, or, with Handle alone, the
// start of a phase. Fields are those of the Build Output API v3.
type Route struct {
	Handle string `json:"handle,omitempty"` // filesystem, hit, miss, rewrite, error, resource

	// Src is a regular expression (ECMAScript) on the path without query. The
	// reader has already resolved the aliases source, destination and statusCode.
	Src      string            `json:"src,omitempty"`
	Dest     string            `json:"dest,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Methods  []string          `json:"methods,omitempty"`
	Status   int               `json:"status,omitempty"`
	Continue bool              `json:"continue,omitempty"`
	Override bool              `json:"override,omitempty"`
	Check    bool              `json:"check,omitempty"`

	CaseSensitive bool        `json:"caseSensitive,omitempty"`
	Important     bool        `json:"important,omitempty"`
	Has           []HasField  `json:"has,omitempty"`
	Missing       []HasField  `json:"missing,omitempty"`
	Locale        *Locale     `json:"locale,omitempty"`
	Mitigate      *Mitigate   `json:"mitigate,omitempty"`
	Transforms    []Transform `json:"transforms,omitempty"`
	Env           []string    `json:"env,omitempty"`

	MiddlewarePath   string   `json:"middlewarePath,omitempty"`
	MiddlewareRawSrc []string `json:"middlewareRawSrc,omitempty"`
	Middleware       *int     `json:"middleware,omitempty"`

	// RespectOriginCacheControl defaults to true: nil is true.
	RespectOriginCacheControl *bool `json:"respectOriginCacheControl,omitempty"`
}

// HasField is a condition on a request.
type HasField struct {
	Type  string     `json:"type"` // host, header, cookie, query
	Key   string     `json:"key,omitempty"`
	Value *Condition `json:"value,omitempty"` // nil requires presence only
}

// Condition compares a value. In JSON it is a string, which is a regular
// expression, or an object of operators that must all hold.
type Condition struct {
	Re   string   `json:"re,omitempty"`
	Eq   *string  `json:"eq,omitempty"`
	Neq  *string  `json:"neq,omitempty"`
	Inc  []string `json:"inc,omitempty"`
	Ninc []string `json:"ninc,omitempty"`
	Pre  string   `json:"pre,omitempty"`
	Suf  string   `json:"suf,omitempty"`
	Gt   *float64 `json:"gt,omitempty"`
	Gte  *float64 `json:"gte,omitempty"`
	Lt   *float64 `json:"lt,omitempty"`
	Lte  *float64 `json:"lte,omitempty"`
}

// UnmarshalJSON reads a string as Re, and a number or boolean of eq and neq as its
// text.
func (c *Condition) UnmarshalJSON(b []byte) error {
	*c = Condition{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &c.Re)
	}
	type plain Condition
	var wire struct {
		plain

		Eq  json.RawMessage `json:"eq"`
		Neq json.RawMessage `json:"neq"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	*c = Condition(wire.plain)
	var err error
	if c.Eq, err = scalarText(wire.Eq); err != nil {
		return err
	}
	c.Neq, err = scalarText(wire.Neq)
	return err
}

func scalarText(raw json.RawMessage) (*string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
	}
	return &text, nil
}

// Locale redirects by the languages that the client accepts.
type Locale struct {
	Redirect map[string]string `json:"redirect,omitempty"`
	Cookie   string            `json:"cookie,omitempty"`
	Value    string            `json:"value,omitempty"`
	Path     string            `json:"path,omitempty"`
	Default  string            `json:"default,omitempty"`
}

// Mitigate refuses a request; the action deny answers 403.
type Mitigate struct {
	Action string `json:"action"` // challenge, deny
}

// Transform changes the request before it is served or the response after.
type Transform struct {
	Type   string          `json:"type"` // request.headers, request.query, response.headers, request.path
	Op     string          `json:"op"`   // append, set, delete
	Target TransformTarget `json:"target"`
	Args   any             `json:"args,omitempty"` // a string or a list of strings
	Env    []string        `json:"env,omitempty"`
}

// TransformTarget names the keys a transform acts on.
type TransformTarget struct {
	Key TransformKey `json:"key"`
}

// TransformKey is one key (Name) or every key that meets a condition.
type TransformKey struct {
	Name  string
	Match *Condition
}

// MarshalJSON writes a string or an object of operators.
func (k TransformKey) MarshalJSON() ([]byte, error) {
	if k.Match != nil {
		return json.Marshal(k.Match)
	}
	return json.Marshal(k.Name)
}

// UnmarshalJSON reads a string or an object of operators.
func (k *TransformKey) UnmarshalJSON(b []byte) error {
	*k = TransformKey{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &k.Name)
	}
	return json.Unmarshal(b, &k.Match)
}
