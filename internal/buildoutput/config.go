package buildoutput

import (
	"path"
	"regexp"
	"strings"

	"github.com/lateen-dev/lateen"
)

// Limits of config.json.
const (
	maxRoutes  = 65_536
	maxEntries = 1_000_000 // limit of maps and lists without a limit of their own
	maxCrons   = 1024
)

var (
	skewPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	cronPattern = regexp.MustCompile(`^[0-9*/,-]+( [0-9*/,-]+){4}$`)
)

// override is the entry of a static file in config.json.
type override struct {
	path        *string // served path; nil: unchanged
	contentType string  // "": by the file's name
	mode        uint32  // 0: unchanged
}

// readConfig reads config.json into the manifest and the overrides.
func (r *reader) readConfig() error {
	doc, err := r.document("config.json", maxConfig)
	if err != nil {
		return err
	}
	v := doc.value()
	if version := v.field("version").scalar(); version == nil || *version != "3" {
		if version == nil {
			return lateen.ErrBuildOutputVersion.With("config.json: version is missing; it must be 3")
		}
		return lateen.ErrBuildOutputVersion.With("config.json: version is %s; it must be 3", *version)
	}
	for _, name := range []string{"services", "experimentalServices", "experimentalServicesV2"} {
		if !v.field(name).empty() {
			return noServices()
		}
	}
	m := r.out.Manifest
	m.Framework = readFramework(v.field("framework"))
	m.Routes = readRoutes(v.field("routes"))
	m.Wildcards = readWildcards(v.field("wildcard"))
	m.Images = readImages(v.field("images"))
	if m.Images != nil {
		r.notice("images are not resized here: /_next/image and /_vercel/image answer 400. Let the framework serve them as they are (Next.js: `images.unoptimized`)")
	}
	m.Crons = readCrons(v.field("crons"))
	m.BypassMore = readBypasses(v.field("afterCacheBypass"))
	if id := v.field("deploymentId"); id.present() {
		if m.SkewID = id.text(maxText); !skewPattern.MatchString(m.SkewID) {
			id.fail("%q is not 1 to 32 letters, digits, '_' and '-'", m.SkewID)
		}
	}
	if schedules := v.field("schedules").list(maxEntries); len(schedules) > 0 {
		r.notice("config.json: schedules are not run yet; %d of them are ignored", len(schedules))
	}
	r.overrides = readOverrides(v.field("overrides"))
	return doc.failure()
}

// readFramework reads a value that is only displayed, so it accepts any form:
// adapters write a name instead of the slug, only a version, or an empty object. A
// value that is not a text of at most 50 bytes counts as absent.
func readFramework(v value) *lateen.Framework {
	members, _ := v.v.(map[string]any)
	text := func(names ...string) string {
		for _, name := range names {
			if s, _ := members[name].(string); s != "" && len(s) <= 50 {
				return s
			}
		}
		return ""
	}
	fw := lateen.Framework{Slug: text("slug", "name"), Version: text("version")}
	if fw == (lateen.Framework{}) {
		return nil
	}
	return &fw
}

func readWildcards(v value) []lateen.Wildcard {
	var wildcards []lateen.Wildcard
	for _, item := range v.list(maxEntries) {
		wildcards = append(wildcards, lateen.Wildcard{
			Domain: item.field("domain").must().text(maxText),
			Value:  item.field("value").must().text(maxText),
		})
	}
	return wildcards
}

func readCrons(v value) []lateen.Cron {
	var crons []lateen.Cron
	for _, item := range v.list(maxCrons) {
		cron := lateen.Cron{
			Path:     item.field("path").must().text(512),
			Schedule: strings.Join(strings.Fields(item.field("schedule").must().text(256)), " "),
		}
		if !strings.HasPrefix(cron.Path, "/") {
			item.field("path").fail("%q does not begin with '/'", cron.Path)
		}
		if !cronPattern.MatchString(cron.Schedule) {
			item.field("schedule").fail("%q is not five fields of digits, '*', '/', ',' and '-'", cron.Schedule)
		}
		crons = append(crons, cron)
	}
	return crons
}

func readBypasses(v value) []lateen.Bypass {
	var bypasses []lateen.Bypass
	for _, item := range v.list(maxEntries) {
		bypass := lateen.Bypass{Name: item.field("name").text(maxText)}
		for _, match := range item.field("hasAll").must().list(maxConditions) {
			b := lateen.BypassMatch{
				Type: match.field("type").must().oneOf("request.header", "cache.response.header"),
				Key:  match.field("key").must().text(maxText),
			}
			if condition := readCondition(match.field("value")); condition != nil {
				b.Value = condition
			}
			bypass.HasAll = append(bypass.HasAll, b)
		}
		bypasses = append(bypasses, bypass)
	}
	return bypasses
}

func readOverrides(v value) map[string]override {
	overrides := make(map[string]override)
	for _, file := range v.names(maxEntries) {
		item := v.field(file)
		o := override{
			contentType: item.field("contentType").text(maxText),
			mode:        uint32(item.field("mode").integer(0, 1<<20)), //nolint:gosec // in range
		}
		if strings.ContainsAny(o.contentType, "\r\n\x00") {
			item.field("contentType").fail("%q is not a content type", o.contentType)
		}
		if at := item.field("path"); at.present() {
			text := at.text(maxText)
			if strings.ContainsRune(text, 0) || strings.Contains("/"+text+"/", "/../") {
				at.fail("%q is not a path", text)
			}
			o.path = &text
		}
		overrides[strings.TrimPrefix(path.Clean(file), "/")] = o
	}
	return overrides
}

func readImages(v value) *lateen.Images {
	if !v.present() {
		return nil
	}
	images := &lateen.Images{
		Sizes:                  readIntegers(v.field("sizes").must(), 1, 1<<20),
		Domains:                v.field("domains").texts(maxEntries, maxText),
		Qualities:              readIntegers(v.field("qualities"), 1, 100),
		MinimumCacheTTL:        v.field("minimumCacheTTL").integer(0, 1<<31-1),
		DangerouslyAllowSVG:    v.field("dangerouslyAllowSVG").flag(),
		ContentSecurityPolicy:  v.field("contentSecurityPolicy").text(maxText),
		ContentDispositionType: v.field("contentDispositionType").oneOf("inline", "attachment"),
	}
	for _, format := range v.field("formats").list(16) {
		images.Formats = append(images.Formats, format.must().oneOf("image/avif", "image/webp"))
	}
	for _, item := range v.field("remotePatterns").list(maxEntries) {
		images.RemotePatterns = append(images.RemotePatterns, lateen.RemotePattern{
			Protocol: strings.TrimSuffix(item.field("protocol").text(maxText), ":"),
			Hostname: item.field("hostname").must().text(maxText),
			Port:     item.field("port").text(maxText),
			Pathname: item.field("pathname").text(maxText),
			Search:   item.field("search").scalar(),
		})
	}
	if local := v.field("localPatterns"); local.present() {
		images.LocalPatterns = []lateen.LocalPattern{}
		for _, item := range local.list(maxEntries) {
			images.LocalPatterns = append(images.LocalPatterns, lateen.LocalPattern{
				Pathname: item.field("pathname").text(maxText),
				Search:   item.field("search").scalar(),
			})
		}
	}
	return images
}

func readIntegers(v value, least, most int) []int {
	var numbers []int
	for _, item := range v.list(maxEntries) {
		numbers = append(numbers, item.must().integer(least, most))
	}
	return numbers
}
