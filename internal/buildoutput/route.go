package buildoutput

import "github.com/lateen-dev/lateen"

// Limits of a route, the same as those of builders.
const (
	maxConditions  = 16
	maxHeaders     = 100
	maxHeaderValue = 32_768
	maxMethods     = 10
	maxRouteEnv    = 64
	maxTransforms  = 256
)

// readRoutes reads the route table; its errors are [lateen.ErrInvalidRoute].
func readRoutes(v value) []lateen.Route {
	v.kind = lateen.ErrInvalidRoute
	var routes []lateen.Route
	phase, seen := "", map[string]bool{}
	for _, item := range v.list(maxRoutes) {
		handle := item.field("handle")
		if !handle.present() {
			routes = append(routes, readRoute(item, phase))
			continue
		}
		phase = handle.oneOf("filesystem", "hit", "miss", "rewrite", "error", "resource")
		if len(item.names(maxEntries)) > 1 {
			item.fail("a handle can't have other fields")
		}
		if seen[phase] {
			handle.fail("%q is repeated", phase)
		}
		seen[phase] = true
		routes = append(routes, lateen.Route{Handle: phase})
	}
	return routes
}

// readRoute reads one route of phase.
func readRoute(v value, phase string) lateen.Route {
	r := lateen.Route{
		Src:            v.first("src", "source").text(maxText),
		Headers:        v.field("headers").textMap(maxHeaders, maxHeaderValue),
		Methods:        v.field("methods").texts(maxMethods, 32),
		Status:         v.first("status", "statusCode").integer(200, 999),
		Continue:       v.field("continue").flag(),
		Override:       v.field("override").flag(),
		Check:          v.field("check").flag(),
		CaseSensitive:  v.field("caseSensitive").flag(),
		Important:      v.field("important").flag(),
		Has:            readHas(v.field("has")),
		Missing:        readHas(v.field("missing")),
		Env:            v.field("env").texts(maxRouteEnv, 256),
		MiddlewarePath: v.field("middlewarePath").text(maxText),
	}
	if r.Src == "" {
		v.fail("has neither src nor handle")
	}
	if dest := v.first("dest", "destination"); kindOf(dest.v) == "an object" {
		dest.fail("leads to a service, which this platform does not serve yet")
	} else {
		r.Dest = dest.text(maxText)
	}
	if raw := v.field("middlewareRawSrc"); raw.present() {
		r.MiddlewareRawSrc = raw.texts(maxEntries, maxText)
	}
	if index := v.field("middleware"); index.present() {
		n := index.integer(0, maxRoutes)
		r.Middleware = &n
	}
	if locale := v.field("locale"); locale.present() {
		r.Locale = &lateen.Locale{
			Redirect: locale.field("redirect").textMap(maxEntries, maxText),
			Cookie:   locale.field("cookie").text(maxText),
			Value:    locale.field("value").text(maxText),
			Path:     locale.field("path").text(maxText),
			Default:  locale.field("default").text(maxText),
		}
	}
	if mitigate := v.field("mitigate"); mitigate.present() {
		r.Mitigate = &lateen.Mitigate{Action: mitigate.field("action").must().oneOf("challenge", "deny")}
	}
	if transforms := v.field("transforms"); transforms.present() {
		r.Transforms = readTransforms(transforms)
	}
	if respect := v.field("respectOriginCacheControl"); respect.present() {
		b := respect.flag()
		r.RespectOriginCacheControl = &b
	}
	checkPhase(v, phase, &r)
	return r
}

// checkPhase records errors of fields that the phases hit and miss do not allow.
func checkPhase(v value, phase string, r *lateen.Route) {
	switch {
	case phase == "hit" && r.Dest != "":
		v.fail("a route after {\"handle\":\"hit\"} can't have a dest")
	case phase == "hit" && r.Status != 0:
		v.fail("a route after {\"handle\":\"hit\"} can't have a status")
	case phase == "hit" && !r.Continue:
		v.fail("a route after {\"handle\":\"hit\"} must have \"continue\":true")
	case phase == "miss" && r.Dest != "" && !r.Check:
		v.fail("a route with a dest after {\"handle\":\"miss\"} must have \"check\":true")
	case phase == "miss" && r.Dest == "" && !r.Continue:
		v.fail("a route without a dest after {\"handle\":\"miss\"} must have \"continue\":true")
	}
}

// readHas reads the conditions of has, missing or experimentalBypassFor.
func readHas(v value) []lateen.HasField {
	var fields []lateen.HasField
	for _, item := range v.list(maxConditions) {
		f := lateen.HasField{
			Type:  item.field("type").must().oneOf("host", "header", "cookie", "query"),
			Value: readCondition(item.field("value")),
		}
		if f.Type == "host" {
			item.field("value").must()
		} else {
			f.Key = item.field("key").must().text(maxText)
		}
		fields = append(fields, f)
	}
	return fields
}

// readCondition reads a regular expression or an object of operators; nil if absent.
func readCondition(v value) *lateen.Condition {
	switch v.v.(type) {
	case nil:
		return nil
	case map[string]any:
	default:
		return &lateen.Condition{Re: *v.scalar()}
	}
	return &lateen.Condition{
		Re:   v.field("re").text(maxText),
		Eq:   v.field("eq").scalar(),
		Neq:  v.field("neq").scalar(),
		Inc:  v.field("inc").texts(maxEntries, maxText),
		Ninc: v.field("ninc").texts(maxEntries, maxText),
		Pre:  v.field("pre").text(maxText),
		Suf:  v.field("suf").text(maxText),
		Gt:   v.field("gt").number(),
		Gte:  v.field("gte").number(),
		Lt:   v.field("lt").number(),
		Lte:  v.field("lte").number(),
	}
}

func readTransforms(v value) []lateen.Transform {
	items := v.list(maxTransforms)
	if len(items) == 0 {
		v.fail("is empty")
	}
	transforms := make([]lateen.Transform, 0, len(items))
	for _, item := range items {
		t := lateen.Transform{
			Type: item.field("type").must().oneOf("request.headers", "request.query", "response.headers", "request.path"),
			Op:   item.field("op").must().oneOf("append", "set", "delete"),
			Args: readArgs(item.field("args")),
			Env:  item.field("env").texts(maxRouteEnv, 256),
		}
		if t.Type == "request.path" {
			if _, ok := t.Args.(string); !ok || t.Op != "set" {
				item.fail("a request.path can only be set, to a string")
			}
			transforms = append(transforms, t)
			continue
		}
		switch key := item.field("target").must().field("key").must(); key.v.(type) {
		case map[string]any:
			t.Target.Key.Match = readCondition(key)
		default:
			t.Target.Key.Name = key.text(maxText)
		}
		transforms = append(transforms, t)
	}
	return transforms
}

// readArgs returns nil, a string or a list of strings.
func readArgs(v value) any {
	switch v.v.(type) {
	case nil:
		return nil
	case []any:
		return v.texts(maxEntries, maxHeaderValue)
	case string:
		return v.text(maxHeaderValue)
	default:
		return *v.scalar()
	}
}
