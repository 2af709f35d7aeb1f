package buildoutput_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
)

const (
	outDir   = ".vercel/output/"
	node     = `{"runtime":"nodejs22.x","handler":"i.js","launcherType":"Nodejs"}`
	fnConfig = outDir + "functions/f.func/.vc-config.json"
	fnFile   = outDir + "functions/f.func/i.js"
)

// config returns an upload with only a config.json.
func config(text string) map[string]string { return map[string]string{outDir + "config.json": text} }

// with returns a valid upload with a function f, and adds files.
func with(files map[string]string) map[string]string {
	sound := map[string]string{outDir + "config.json": `{"version":3}`, fnConfig: node, fnFile: "x"}
	maps.Copy(sound, files)
	return sound
}

func routes(text string) map[string]string { return config(`{"version":3,"routes":[` + text + `]}`) }

// refusal is an upload with the expected error.
type refusal struct {
	files   map[string]string
	want    error
	message string // part of the message
}

func testRefusals(t *testing.T, refusals map[string]refusal) {
	for name, test := range refusals {
		t.Run(name, func(t *testing.T) {
			_, err := buildoutput.Read(source(test.files), buildoutput.Options{Target: "preview"})
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			e, ok := errors.AsType[*lateen.Error](err)
			if !ok || !strings.Contains(e.Message, test.message) {
				t.Errorf("message %q, want one with %q", err, test.message)
			}
		})
	}
}

func TestReadRefusesAMalformedConfig(t *testing.T) {
	testRefusals(t, map[string]refusal{
		"none":               {map[string]string{"index.html": "x"}, lateen.ErrBuildOutputMissing, ".vercel/output/config.json"},
		"empty":              {config(""), lateen.ErrBuildOutput, "config.json is not JSON"},
		"truncated":          {config(`{"version":3,`), lateen.ErrBuildOutput, "config.json is not JSON"},
		"a list":             {config(`[]`), lateen.ErrBuildOutput, "config.json: must be an object, not a list"},
		"two documents":      {config(`{"version":3}{}`), lateen.ErrBuildOutput, "not JSON"},
		"no version":         {config(`{}`), lateen.ErrBuildOutputVersion, "version is missing"},
		"version 2":          {config(`{"version":2}`), lateen.ErrBuildOutputVersion, "version is 2"},
		"version 4":          {config(`{"version":4}`), lateen.ErrBuildOutputVersion, "version is 4"},
		"version 3.5":        {config(`{"version":3.5}`), lateen.ErrBuildOutputVersion, "version is 3.5"},
		"nested deep":        {config(`{"version":3,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), lateen.ErrBuildOutput, "nested more than 64 deep"},
		"many values":        {config(`{"version":3,"x":[` + strings.Repeat("1,", 3_000_000) + `1]}`), lateen.ErrBuildOutput, "more than 2000000 values"},
		"large":              {config(`{"version":3,"x":"` + strings.Repeat("x", 33<<20) + `"}`), lateen.ErrBuildOutput, "config.json is too large: 34603"},
		"routes an object":   {config(`{"version":3,"routes":{}}`), lateen.ErrInvalidRoute, "config.json: routes: must be a list, not an object"},
		"wildcard":           {config(`{"version":3,"wildcard":[{"domain":"a"}]}`), lateen.ErrBuildOutput, "wildcard[0].value: is missing"},
		"cron path":          {config(`{"version":3,"crons":[{"path":"api","schedule":"* * * * *"}]}`), lateen.ErrBuildOutput, `crons[0].path: "api" does not begin`},
		"cron schedule":      {config(`{"version":3,"crons":[{"path":"/a","schedule":"@daily"}]}`), lateen.ErrBuildOutput, `crons[0].schedule: "@daily" is not five fields`},
		"skew id":            {config(`{"version":3,"deploymentId":"a b"}`), lateen.ErrBuildOutput, `deploymentId: "a b"`},
		"images":             {config(`{"version":3,"images":{"sizes":["1"]}}`), lateen.ErrBuildOutput, "images.sizes[0]: must be a number, not a string"},
		"image format":       {config(`{"version":3,"images":{"sizes":[],"formats":["image/gif"]}}`), lateen.ErrBuildOutput, `images.formats[0]: "image/gif" is none of`},
		"bypass":             {config(`{"version":3,"afterCacheBypass":[{"hasAll":[{"type":"x","key":"k"}]}]}`), lateen.ErrBuildOutput, `afterCacheBypass[0].hasAll[0].type: "x" is none of`},
		"override of a path": {config(`{"version":3,"overrides":{"a":{"path":"../../b"}}}`), lateen.ErrBuildOutput, `overrides.a.path: "../../b" is not a path`},
		"override of a type": {config(`{"version":3,"overrides":{"a":{"contentType":"text/html\r\nx-evil: 1"}}}`), lateen.ErrBuildOutput, "overrides.a.contentType"},
		"services":           {config(`{"version":3,"services":[{"name":"a"}]}`), lateen.ErrBuildOutput, "services, which this platform does not serve"},
		"services as files":  {with(map[string]string{outDir + "services/a/config.json": "{}"}), lateen.ErrBuildOutput, "services"},
	})
}

func TestReadRefusesMalformedRoutes(t *testing.T) {
	many := strings.Repeat(`{"src":"/a"},`, 70_000)
	testRefusals(t, map[string]refusal{
		"not an object":        {routes(`{"src":"/a"},"/b"`), lateen.ErrInvalidRoute, "config.json: routes[1]: must be an object, not a string"},
		"no src":               {routes(`{"src":"/a"},{"dest":"/b"}`), lateen.ErrInvalidRoute, "routes[1]: has neither src nor handle"},
		"long src":             {routes(`{"src":"` + strings.Repeat("x", 4097) + `"}`), lateen.ErrInvalidRoute, "routes[0].src: is 4097 characters long"},
		"src of another type":  {routes(`{"src":["/a"]}`), lateen.ErrInvalidRoute, "routes[0].src: must be a string, not a list"},
		"alias of a type":      {routes(`{"source":7}`), lateen.ErrInvalidRoute, "routes[0].source: must be a string, not a number"},
		"dest to a service":    {routes(`{"src":"/a","destination":{"type":"service","service":"s"}}`), lateen.ErrInvalidRoute, "routes[0].destination: leads to a service"},
		"headers":              {routes(`{"src":"/a","headers":{"x-a":1}}`), lateen.ErrInvalidRoute, "routes[0].headers.x-a: must be a string, not a number"},
		"many headers":         {routes(`{"src":"/a","headers":{` + manyMembers(101) + `}}`), lateen.ErrInvalidRoute, "routes[0].headers: has 101 members; at most 100"},
		"many methods":         {routes(`{"src":"/a","methods":["A","A","A","A","A","A","A","A","A","A","A"]}`), lateen.ErrInvalidRoute, "routes[0].methods: has 11 items; at most 10"},
		"status":               {routes(`{"src":"/a","status":99}`), lateen.ErrInvalidRoute, "routes[0].status: 99 is not a whole number from 200 to 999"},
		"interim status":       {routes(`{"src":"/a","status":101}`), lateen.ErrInvalidRoute, "routes[0].status: 101 is not a whole number from 200 to 999"},
		"status in text":       {routes(`{"src":"/a","status":"404"}`), lateen.ErrInvalidRoute, "routes[0].status: must be a number"},
		"continue":             {routes(`{"src":"/a","continue":"yes"}`), lateen.ErrInvalidRoute, "routes[0].continue: must be true or false"},
		"has":                  {routes(`{"src":"/a","has":{"type":"host"}}`), lateen.ErrInvalidRoute, "routes[0].has: must be a list"},
		"has of a type":        {routes(`{"src":"/a","has":[{"type":"body","key":"k"}]}`), lateen.ErrInvalidRoute, `routes[0].has[0].type: "body" is none of host, header, cookie, query`},
		"has without key":      {routes(`{"src":"/a","missing":[{"type":"header"}]}`), lateen.ErrInvalidRoute, "routes[0].missing[0].key: is missing"},
		"host without value":   {routes(`{"src":"/a","has":[{"type":"host"}]}`), lateen.ErrInvalidRoute, "routes[0].has[0].value: is missing"},
		"has of an operator":   {routes(`{"src":"/a","has":[{"type":"query","key":"q","value":{"gt":"1"}}]}`), lateen.ErrInvalidRoute, "routes[0].has[0].value.gt: must be a number"},
		"many conditions":      {routes(`{"src":"/a","has":[` + strings.TrimSuffix(strings.Repeat(`{"type":"query","key":"q"},`, 17), ",") + `]}`), lateen.ErrInvalidRoute, "routes[0].has: has 17 items"},
		"mitigate":             {routes(`{"src":"/a","mitigate":{"action":"nuke"}}`), lateen.ErrInvalidRoute, `routes[0].mitigate.action: "nuke"`},
		"locale":               {routes(`{"src":"/a","locale":{"redirect":["fr"]}}`), lateen.ErrInvalidRoute, "routes[0].locale.redirect: must be an object"},
		"no transforms":        {routes(`{"src":"/a","transforms":[]}`), lateen.ErrInvalidRoute, "routes[0].transforms: is empty"},
		"transform op":         {routes(`{"src":"/a","transforms":[{"type":"request.query","op":"x","target":{"key":"k"}}]}`), lateen.ErrInvalidRoute, "routes[0].transforms[0].op"},
		"transform target":     {routes(`{"src":"/a","transforms":[{"type":"request.query","op":"set","args":"1"}]}`), lateen.ErrInvalidRoute, "routes[0].transforms[0].target: is missing"},
		"transform path":       {routes(`{"src":"/a","transforms":[{"type":"request.path","op":"delete"}]}`), lateen.ErrInvalidRoute, "routes[0].transforms[0]: a request.path can only be set"},
		"env":                  {routes(`{"src":"/a","env":[1]}`), lateen.ErrInvalidRoute, "routes[0].env[0]: must be a string"},
		"handle":               {routes(`{"handle":"nowhere"}`), lateen.ErrInvalidRoute, `routes[0].handle: "nowhere" is none of`},
		"handle with more":     {routes(`{"handle":"hit","src":"/a"}`), lateen.ErrInvalidRoute, "routes[0]: a handle can't have other fields"},
		"handle twice":         {routes(`{"handle":"hit"},{"handle":"miss"},{"handle":"hit"}`), lateen.ErrInvalidRoute, `routes[2].handle: "hit" is repeated`},
		"hit with dest":        {routes(`{"handle":"hit"},{"src":"/a","dest":"/b","continue":true}`), lateen.ErrInvalidRoute, "routes[1]: a route after"},
		"hit with status":      {routes(`{"handle":"hit"},{"src":"/a","status":200,"continue":true}`), lateen.ErrInvalidRoute, "can't have a status"},
		"hit without continue": {routes(`{"handle":"hit"},{"src":"/a"}`), lateen.ErrInvalidRoute, `must have "continue":true`},
		"miss without check":   {routes(`{"handle":"miss"},{"src":"/a","dest":"/b"}`), lateen.ErrInvalidRoute, `must have "check":true`},
		"miss without dest":    {routes(`{"handle":"miss"},{"src":"/a"}`), lateen.ErrInvalidRoute, `must have "continue":true`},
		"too many":             {routes(strings.TrimSuffix(many, ",")), lateen.ErrInvalidRoute, "routes: has 70000 items; at most 65536"},
	})
}

func manyMembers(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	return strings.Join(members, ",")
}

func TestReadRefusesFailedAndForeignBuilds(t *testing.T) {
	builds := func(text string) map[string]string {
		return with(map[string]string{outDir + "builds.json": text})
	}
	testRefusals(t, map[string]refusal{
		"failed":       {builds(`{"error":{"message":"no such command"}}`), lateen.ErrBuildOutputFailed, "failed: no such command"},
		"build failed": {builds(`{"builds":[{},{"error":{"code":"X"}}]}`), lateen.ErrBuildOutputFailed, "failed"},
		"for another":  {builds(`{"target":"production"}`), lateen.ErrBuildOutput, "built for production, not for preview"},
		"malformed":    {builds(`{"builds":7}`), lateen.ErrBuildOutput, "builds.json: builds: must be a list"},
	})
}

func TestReadRefusesMalformedFunctions(t *testing.T) {
	fn := func(text string) map[string]string { return with(map[string]string{fnConfig: text}) }
	without := with(nil)
	delete(without, fnConfig)
	field := func(text string) map[string]string {
		return fn(`{"runtime":"nodejs22.x","handler":"i.js","launcherType":"Nodejs",` + text + `}`)
	}
	edge := func(text string) map[string]string { return fn(`{"runtime":"edge",` + text + `}`) }
	const where = "functions/f.func/.vc-config.json: "
	testRefusals(t, map[string]refusal{
		"no config":                  {without, lateen.ErrBuildOutput, "functions/f.func has no .vc-config.json"},
		"not JSON":                   {fn("x"), lateen.ErrBuildOutput, "functions/f.func/.vc-config.json is not JSON"},
		"no runtime":                 {fn(`{"handler":"i.js"}`), lateen.ErrBuildOutput, where + "runtime: is missing"},
		"no handler":                 {fn(`{"runtime":"nodejs22.x"}`), lateen.ErrBuildOutput, where + "handler: is missing"},
		"handler absent":             {fn(`{"runtime":"nodejs22.x","handler":"j.js","launcherType":"Nodejs"}`), lateen.ErrBuildOutput, where + `handler: "j.js" is not among`},
		"handler outside":            {fn(`{"runtime":"executable","handler":"../../bin/sh"}`), lateen.ErrBuildOutput, where + `handler: "../../bin/sh" leads out`},
		"memory":                     {field(`"memory":64`), lateen.ErrBuildOutput, where + "memory: 64 is not a whole number from 128 to 10240"},
		"duration":                   {field(`"maxDuration":0`), lateen.ErrBuildOutput, where + "maxDuration: 0"},
		"duration in words":          {field(`"maxDuration":"long"`), lateen.ErrBuildOutput, where + "maxDuration: must be a number"},
		"concurrency":                {field(`"maxConcurrency":1.5`), lateen.ErrBuildOutput, where + "maxConcurrency: 1.5"},
		"too many instances":         {field(`"minInstances":100000`), lateen.ErrBuildOutput, where + "minInstances: 100000"},
		"more at least than at most": {field(`"minInstances":3,"maxInstances":2`), lateen.ErrBuildOutput, where + "minInstances: 3 is more than maxInstances, 2"},
		"architecture":               {field(`"architecture":"sparc"`), lateen.ErrBuildOutput, where + `architecture: "sparc"`},
		"environment":                {field(`"environment":["A"]`), lateen.ErrBuildOutput, where + "environment: must be an object"},
		"environment name":           {field(`"environment":{"A=B":""}`), lateen.ErrBuildOutput, where + `environment: "A=B" is not the name`},
		"environment value":          {field(`"environment":{"A":"\u0000"}`), lateen.ErrBuildOutput, where + "environment.A: has a NUL"},
		"trigger":                    {field(`"experimentalTriggers":[{"type":"pigeon"}]`), lateen.ErrBuildOutput, where + "experimentalTriggers[0].type"},
		"trigger topic":              {field(`"experimentalTriggers":[{"type":"queue/v2beta"}]`), lateen.ErrBuildOutput, where + "experimentalTriggers[0].topic: is missing"},
		"no entrypoint":              {edge(`"name":"x"`), lateen.ErrBuildOutput, where + "entrypoint: is missing"},
		"entrypoint absent":          {edge(`"entrypoint":"e.js"`), lateen.ErrBuildOutput, where + `entrypoint: "e.js" is not among`},
		"asset absent":               {edge(`"entrypoint":"i.js","assets":[{"name":"a","path":"i.js"},{"name":"b","path":"b"}]`), lateen.ErrBuildOutput, where + `assets[1].path: "b" is not among`},
		"a file":                     {with(map[string]string{outDir + "functions/g.func": "x"}), lateen.ErrBuildOutput, "functions/g.func must be a directory"},
		"no name":                    {with(map[string]string{outDir + "functions/.func/.vc-config.json": node}), lateen.ErrBuildOutput, "has no name"},
	})
}

func TestReadRefusesHostileFunctions(t *testing.T) {
	mapped := func(text string) map[string]string {
		return with(map[string]string{
			fnConfig:            `{"runtime":"nodejs22.x","handler":"i.js","launcherType":"Nodejs","filePathMap":{` + text + `}}`,
			"lib/a.js":          "a",
			"out -> ../../etc":  "",
			"abs -> /etc":       "",
			"loop -> loop":      "",
			"inside -> lib":     "",
			"lib/up -> ../..":   "",
			"dangling -> ghost": "",
		})
	}
	links := func(files map[string]string) map[string]string { return with(files) }
	const where = "functions/f.func/.vc-config.json: filePathMap."
	testRefusals(t, map[string]refusal{
		"target outside":        {mapped(`"a":"../secret"`), lateen.ErrBuildOutput, where + `a: "../secret" leads out of the upload`},
		"target outside within": {mapped(`"a":"lib/../../secret"`), lateen.ErrBuildOutput, "leads out of the upload"},
		"absolute target":       {mapped(`"a":"/etc/passwd"`), lateen.ErrBuildOutput, `a: "/etc/passwd" leads out of the upload`},
		"target missing":        {mapped(`"a":"lib/b.js"`), lateen.ErrBuildOutput, where + "a: lib/b.js is not in the upload"},
		"target by a link out":  {mapped(`"a":"out/passwd"`), lateen.ErrBuildOutput, "out/passwd leads out of the upload"},
		"target by an absolute": {mapped(`"a":"abs/passwd"`), lateen.ErrBuildOutput, "abs/passwd leads out of the upload"},
		"target by a climb":     {mapped(`"a":"lib/up/passwd"`), lateen.ErrBuildOutput, "leads out of the upload"},
		"target by a loop":      {mapped(`"a":"loop/x"`), lateen.ErrBuildOutput, "loop/x is a link that never ends"},
		"target by nothing":     {mapped(`"a":"dangling/x"`), lateen.ErrBuildOutput, "dangling/x leads to ghost, which is not in the upload"},
		"target of a type":      {mapped(`"a":1`), lateen.ErrBuildOutput, where + "a: must be a string, not a number"},
		"key outside":           {mapped(`"../../a.js":"lib/a.js"`), lateen.ErrTreeInvalid, `functions/f.func: "../../a.js" is not a path within a function`},
		"absolute key":          {mapped(`"/etc/cron.d/a":"lib/a.js"`), lateen.ErrTreeInvalid, "is not a path within a function"},
		"key of nothing":        {mapped(`"":"lib/a.js"`), lateen.ErrTreeInvalid, "is not a path within a function"},
		"key with a NUL":        {mapped(`"a\u0000b":"lib/a.js"`), lateen.ErrTreeInvalid, "is not a path within a function"},
		"key under a file":      {mapped(`"i.js/a":"lib/a.js"`), lateen.ErrTreeInvalid, "i.js/a is below i.js, which is not a directory"},
		"link out":              {mapped(`"a":"out"`), lateen.ErrTreeInvalid, `functions/f.func: the link a to "../../etc" leaves the function`},
		"absolute link":         {mapped(`"a":"abs"`), lateen.ErrTreeInvalid, `the link a to "/etc" leaves the function`},
		"link in place":         {links(map[string]string{outDir + "functions/f.func/x -> ../../../../etc": ""}), lateen.ErrTreeInvalid, "leaves the function"},

		"function by a link out":      {links(map[string]string{outDir + "functions/g.func -> ../../../../f.func": ""}), lateen.ErrBuildOutput, "leads out of the upload"},
		"function by an absolute":     {links(map[string]string{outDir + "functions/g.func -> /etc": ""}), lateen.ErrBuildOutput, "leads out of the upload"},
		"function by a loop":          {links(map[string]string{outDir + "functions/g.func -> h.func": "", outDir + "functions/h.func -> g.func": ""}), lateen.ErrBuildOutput, "is a link that never ends"},
		"function by nothing":         {links(map[string]string{outDir + "functions/g.func -> h.func": ""}), lateen.ErrBuildOutput, "h.func, which is not in the upload"},
		"function by a file":          {links(map[string]string{outDir + "functions/g.func -> f.func/i.js": ""}), lateen.ErrBuildOutput, "which is not a function"},
		"function by another place":   {links(map[string]string{outDir + "functions/g.func -> ../../../x.func": "", "x.func/.vc-config.json": node}), lateen.ErrBuildOutput, "x.func, which is not a function"},
		"configuration by a link out": {links(map[string]string{outDir + "functions/g.func/.vc-config.json -> /etc/passwd": ""}), lateen.ErrBuildOutput, "leads out of the upload"},
	})
}

func TestReadRefusesHostileStaticFiles(t *testing.T) {
	static := func(files map[string]string) map[string]string {
		all := with(nil)
		for name, text := range files {
			all[outDir+"static/"+name] = text
		}
		return all
	}
	twice := static(map[string]string{"about.html": "a", "about": "b"})
	twice[outDir+"config.json"] = `{"version":3,"overrides":{"about.html":{"path":"about"}}}`
	immutable := func(text string) map[string]string {
		files := static(map[string]string{"_vercel/immutable/a": "a", "b": "b"})
		files[outDir+"immutable.json"] = text
		return files
	}
	bomb := map[string]string{"d0/f": "x"}
	for i := range 12 {
		for j := range 10 {
			bomb[fmt.Sprintf("d%d/l%d -> ../d%d", i+1, j, i)] = ""
		}
	}
	testRefusals(t, map[string]refusal{
		"path outside":      {map[string]string{outDir + "config.json": `{"version":3}`, "../x": ""}, lateen.ErrUploadPath, `"../x" is not a path within`},
		"absolute path":     {map[string]string{"/etc/passwd": ""}, lateen.ErrUploadPath, "/etc/passwd"},
		"path not clean":    {map[string]string{".vercel//output/config.json": ""}, lateen.ErrUploadPath, "is not a path"},
		"path with a NUL":   {map[string]string{"a\x00": ""}, lateen.ErrUploadPath, "is not a path"},
		"path not UTF-8":    {map[string]string{"a\xff": ""}, lateen.ErrUploadPath, "is not a path"},
		"link out":          {static(map[string]string{"passwd -> ../../../../etc/passwd": ""}), lateen.ErrBuildOutput, "static/passwd leads out of the upload"},
		"absolute link":     {static(map[string]string{"passwd -> /etc/passwd": ""}), lateen.ErrBuildOutput, "leads out of the upload"},
		"link to nothing":   {static(map[string]string{"a -> b": ""}), lateen.ErrBuildOutput, "static/b, which is not in the upload"},
		"link in a circle":  {static(map[string]string{"a -> b": "", "b -> a": ""}), lateen.ErrBuildOutput, "never ends"},
		"link to its own":   {static(map[string]string{"a/b/c -> ../..": "", "a/x": ""}), lateen.ErrBuildOutput, "is a link to its own directory"},
		"link to the top":   {static(map[string]string{"a -> ../../..": ""}), lateen.ErrBuildOutput, "is a link to its own directory"},
		"links that double": {static(bomb), lateen.ErrBuildOutput, "exceeds the limit of links to directories"},
		"two at a path":     {twice, lateen.ErrBuildOutput, "static/about and static/about.html are both to be served at /about"},
		"immutable absent":  {immutable(`{"version":1,"hashes":{"/_vercel/immutable/z":"1"}}`), lateen.ErrBuildOutput, "immutable.json: hashes./_vercel/immutable/z: is not the path"},
		"immutable astray":  {immutable(`{"version":1,"hashes":{"/b":"1"}}`), lateen.ErrBuildOutput, "immutable.json: hashes./b"},
		"immutable version": {immutable(`{"version":2,"hashes":{}}`), lateen.ErrBuildOutput, "immutable.json: version: 2"},
		"immutable hash":    {immutable(`{"version":1,"hashes":{"/_vercel/immutable/a":1}}`), lateen.ErrBuildOutput, "must be a string"},
	})
}

func TestReadRefusesMalformedPrerenders(t *testing.T) {
	pre := func(text string) map[string]string {
		return with(map[string]string{outDir + "functions/f.prerender-config.json": text, outDir + "functions/f.prerender-fallback.html": "x"})
	}
	edge := pre(`{"expiration":1}`)
	edge[fnConfig] = `{"runtime":"edge","entrypoint":"i.js"}`
	alone := with(map[string]string{outDir + "functions/g.prerender-config.json": `{"expiration":1}`})
	const where = "functions/f.prerender-config.json: "
	testRefusals(t, map[string]refusal{
		"not JSON":         {pre("x"), lateen.ErrBuildOutput, "functions/f.prerender-config.json is not JSON"},
		"no expiration":    {pre(`{}`), lateen.ErrBuildOutput, where + "expiration: is missing"},
		"always fresh":     {pre(`{"expiration":true}`), lateen.ErrBuildOutput, where + "expiration: must be a number, not true or false"},
		"negative":         {pre(`{"expiration":-1}`), lateen.ErrBuildOutput, where + "expiration: -1"},
		"group":            {pre(`{"expiration":1,"group":0}`), lateen.ErrBuildOutput, where + "group: 0"},
		"query":            {pre(`{"expiration":1,"allowQuery":"q"}`), lateen.ErrBuildOutput, where + "allowQuery: must be a list"},
		"bypass":           {pre(`{"expiration":1,"experimentalBypassFor":[{"type":"header"}]}`), lateen.ErrBuildOutput, where + "experimentalBypassFor[0].key: is missing"},
		"chain":            {pre(`{"expiration":1,"chain":{}}`), lateen.ErrBuildOutput, where + "chain.outputPath: is missing"},
		"fallback absent":  {pre(`{"expiration":1,"fallback":"g.html"}`), lateen.ErrBuildOutput, where + "fallback: .vercel/output/functions/g.html is not in the upload"},
		"fallback outside": {pre(`{"expiration":1,"fallback":{"type":"FileFsRef","fsPath":"../../../../etc/passwd"}}`), lateen.ErrBuildOutput, where + "fallback.fsPath: "},
		"fallback a dir":   {pre(`{"expiration":1,"fallback":"f.func"}`), lateen.ErrBuildOutput, "is a directory instead of a file"},
		"fallback nowhere": {pre(`{"expiration":1,"fallback":{}}`), lateen.ErrBuildOutput, where + "fallback.fsPath: is missing"},
		"status":           {pre(`{"expiration":1,"fallback":"f.prerender-fallback.html","initialStatus":42}`), lateen.ErrBuildOutput, where + "initialStatus: 42"},
		"interim status":   {pre(`{"expiration":1,"fallback":"f.prerender-fallback.html","initialStatus":199}`), lateen.ErrBuildOutput, where + "initialStatus: 199"}, // RFC 9110 §15.2
		"of edge":          {edge, lateen.ErrBuildOutput, "is for an edge function"},
		"of nothing":       {alone, lateen.ErrBuildOutput, "functions/g.prerender-config.json has neither a function nor a fallback"},
	})
}

func TestReadReturnsErrorsOfOpen(t *testing.T) {
	src := source(with(nil))
	gone := errors.New("disk on fire")
	src.Open = func(lateen.Blob) (io.ReadCloser, error) { return nil, gone }
	if _, err := buildoutput.Read(src, buildoutput.Options{}); !errors.Is(err, gone) || lateen.CodeOf(err) != lateen.Internal {
		t.Errorf("error %v", err)
	}
}

func TestReadAcceptsAnyTargetWithoutATarget(t *testing.T) {
	files := with(map[string]string{outDir + "builds.json": `{"target":"production"}`})
	for target, sound := range map[string]bool{"": true, "production": true, "staging": false} {
		_, err := buildoutput.Read(source(files), buildoutput.Options{Target: lateen.Environment(target)})
		if (err == nil) != sound {
			t.Errorf("for %q: %v", target, err)
		}
	}
}

func TestReadFindsTheOutputAtTheTopWhenTheRootHasNone(t *testing.T) {
	for _, root := range []string{"", ".", "apps/web", "./apps/web/"} {
		if _, err := buildoutput.Read(source(with(nil)), buildoutput.Options{Root: root}); err != nil {
			t.Errorf("root %q: %v", root, err)
		}
	}
}

func TestContentTypeGoesByExtension(t *testing.T) {
	for name, want := range map[string]string{
		"index.html": "text/html; charset=utf-8", "A.JS": "text/javascript; charset=utf-8", "a.min.css": "text/css; charset=utf-8",
		"x/y.woff2": "font/woff2", "site.webmanifest": "application/manifest+json; charset=utf-8", "a.wasm": "application/wasm",
		"LICENSE": "application/octet-stream", "a.tar.gz": "application/gzip", ".html": "text/html; charset=utf-8", "a.unheard-of": "application/octet-stream",
	} {
		if got := buildoutput.ContentType(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Adapters write the framework in several forms, and hosts only display it: the
// format requires only the version in config.json.
func TestReadTakesAFrameworkInAnyForm(t *testing.T) {
	for form, want := range map[string]*lateen.Framework{
		`{"slug":"nextjs","version":"16.0.0"}`:            {Slug: "nextjs", Version: "16.0.0"},
		`{"name":"nuxt","version":"4.4.5"}`:               {Slug: "nuxt", Version: "4.4.5"},
		`{"version":"7.0.0"}`:                             {Version: "7.0.0"},
		`{"slug":null,"version":7}`:                       nil,
		`{"slug":"` + strings.Repeat("x", 200_000) + `"}`: nil,
		`{}`:     nil,
		`null`:   nil,
		`"nuxt"`: nil,
		`[]`:     nil,
	} {
		out, err := buildoutput.Read(source(config(`{"version":3,"framework":`+form+`}`)), buildoutput.Options{})
		if err != nil {
			t.Errorf("%.60s is refused: %v", form, err)
			continue
		}
		if diff := cmp.Diff(want, out.Manifest.Framework); diff != "" {
			t.Errorf("%.60s: %s", form, diff)
		}
	}
}

// The builder of Go functions references files outside the project, unless an option
// makes it copy them.
func TestReadNamesTheOptionThatCopiesFilesOfOtherDirectories(t *testing.T) {
	upload := with(map[string]string{fnConfig: `{"runtime":"nodejs22.x","handler":"i.js","launcherType":"Nodejs","filePathMap":{"a":"../../tmp/main"}}`})
	_, err := buildoutput.Read(source(upload), buildoutput.Options{})
	e, ok := errors.AsType[*lateen.Error](err)
	if !ok || !strings.Contains(e.Hint, "`vercel build --standalone`") {
		t.Errorf("hint %q names no `vercel build --standalone`", e.Hint)
	}
}
