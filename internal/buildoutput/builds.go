package buildoutput

import (
	"strings"

	"github.com/lateen-dev/lateen"
)

// readBuilds refuses an output whose build failed or was for another environment,
// according to builds.json. Only the vercel CLI writes that file.
func (r *reader) readBuilds(target lateen.Environment) error {
	const name = "builds.json"
	if !r.has(name) {
		return nil
	}
	doc, err := r.document(name, maxConfig)
	if err != nil {
		return err
	}
	v := doc.value()
	failures := []value{v.field("error")}
	for _, build := range v.field("builds").list(maxValues) {
		failures = append(failures, build.field("error"))
	}
	for _, f := range failures {
		if f.present() {
			return lateen.ErrBuildOutputFailed.With("the build that made this output failed%s", reasonOf(f))
		}
	}
	if built := lateen.Environment(v.field("target").text(maxText)); target != "" && built != "" && built != target {
		return lateen.ErrBuildOutput.
			With("the output was built for %s, not for %s", built, target).
			WithHint("run `vercel build --target=%s`, then deploy again", target)
	}
	return doc.failure()
}

// reasonOf returns the message of an error in builds.json, as ": …" or nothing.
func reasonOf(v value) string {
	if message, ok := v.v.(string); ok && message != "" {
		return ": " + message
	}
	if members, ok := v.v.(map[string]any); ok {
		if message, ok := members["message"].(string); ok && message != "" {
			return ": " + strings.TrimSpace(message)
		}
	}
	return ""
}
