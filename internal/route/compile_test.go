package route_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/route"
)

func TestMalformedRoutesAreNamed(t *testing.T) {
	long := strings.Repeat("a", 4097)
	many := slices.Repeat([]lateen.HasField{{Type: "header", Key: "a"}}, 17)
	for _, tt := range []struct {
		name  string
		route lateen.Route
		after string // the handle before it
		field string
	}{
		{name: "no src", field: "src"},
		{name: "bad pattern", route: lateen.Route{Src: "/("}, field: "src"},
		{name: "long pattern", route: lateen.Route{Src: long}, field: "src"},
		{name: "huge pattern", route: lateen.Route{Src: "/" + strings.Repeat("(?:a{1000})", 20)}, field: "src"},
		{name: "long dest", route: lateen.Route{Src: "/", Dest: long}, field: "dest"},
		{name: "status", route: lateen.Route{Src: "/", Status: 1000}, field: "status"},
		{name: "unknown handle", route: lateen.Route{Handle: "elsewhere"}, field: "handle"},
		{name: "handle twice", route: lateen.Route{Handle: "miss"}, after: "miss", field: "handle"},
		{name: "has of no type", route: lateen.Route{Src: "/", Has: []lateen.HasField{{Type: "path", Key: "a"}}}, field: "has"},
		{name: "has without key", route: lateen.Route{Src: "/", Has: []lateen.HasField{{Type: "cookie"}}}, field: "has"},
		{name: "host without value", route: lateen.Route{Src: "/", Missing: []lateen.HasField{{Type: "host"}}}, field: "missing"},
		{name: "has with a bad pattern", route: lateen.Route{Src: "/", Has: []lateen.HasField{{Type: "query", Key: "a", Value: &lateen.Condition{Re: "("}}}}, field: "has"},
		{name: "too many conditions", route: lateen.Route{Src: "/", Has: many}, field: "has"},
		{name: "too many conditions missing", route: lateen.Route{Src: "/", Missing: many}, field: "missing"},
		{name: "mitigate", route: lateen.Route{Src: "/", Mitigate: &lateen.Mitigate{Action: "bypass"}}, field: "mitigate"},
		{name: "dest after hit", route: lateen.Route{Src: "/", Dest: "/a", Continue: true}, after: "hit", field: "dest"},
		{name: "status after hit", route: lateen.Route{Src: "/", Status: 200, Continue: true}, after: "hit", field: "status"},
		{name: "end after hit", route: lateen.Route{Src: "/"}, after: "hit", field: "continue"},
		{name: "dest unchecked after miss", route: lateen.Route{Src: "/", Dest: "/a"}, after: "miss", field: "check"},
		{name: "end after miss", route: lateen.Route{Src: "/"}, after: "miss", field: "continue"},
		{name: "middleware that is not there", route: lateen.Route{Src: "/", MiddlewarePath: "mw"}, field: "middlewarePath"},
		{name: "transform type", route: transforms(lateen.Transform{Type: "response.body", Op: "set"}), field: "transforms[0]"},
		{name: "transform op", route: transforms(lateen.Transform{Type: "request.query", Op: "push"}), field: "transforms[0]"},
		{name: "transform key", route: transforms(lateen.Transform{Type: "request.query", Op: "set", Args: "a"}), field: "transforms[0]"},
		{name: "transform args", route: transforms(lateen.Transform{Type: "request.path", Op: "set", Args: []any{1.0}}), field: "transforms[0]"},
		{name: "transform args of another kind", route: transforms(lateen.Transform{Type: "request.path", Op: "set", Args: 1.0}), field: "transforms[0]"},
		{name: "transform path", route: transforms(lateen.Transform{Type: "request.path", Op: "append", Args: "/a"}), field: "transforms[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			routes := []lateen.Route{{Src: "/fine", Continue: true}}
			if tt.after != "" {
				routes = append(routes, lateen.Route{Handle: tt.after})
			}
			routes = append(routes, tt.route)
			_, err := route.Compile(&lateen.Manifest{Routes: routes})
			if !errors.Is(err, lateen.ErrInvalidRoute) {
				t.Fatalf("got %v", err)
			}
			e, _ := errors.AsType[*lateen.Error](err)
			where := "routes[1]."
			if tt.after != "" {
				where = "routes[2]."
			}
			where += tt.field
			if got := slices.Collect(maps.Keys(e.Fields)); !slices.Equal(got, []string{where}) || !strings.Contains(err.Error(), where) {
				t.Errorf("%v does not name %s (%v)", err, where, got)
			}
		})
	}
}

func transforms(list ...lateen.Transform) lateen.Route {
	return lateen.Route{Src: "/", Transforms: list}
}

func TestEmptyManifestAnswersNothing(t *testing.T) {
	r, err := route.Compile(&lateen.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Resolve(t.Context(), newRequest("GET", "/"), nil)
	if err != nil || d.Kind != route.Error || d.Status != 404 || d.Reason != route.ReasonNotFound {
		t.Errorf("%+v, %v", d, err)
	}
}
