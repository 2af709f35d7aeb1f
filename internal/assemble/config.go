package assemble

import (
	"path"
	"slices"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/buildoutput"
)

// withoutEffect returns the reason why a field of vercel.json without a counterpart
// in the build output has no effect; "" if the field has an effect or is unknown.
func withoutEffect(field string) string {
	switch field {
	case "regions", "functionFailoverRegions", "passiveRegions":
		return buildoutput.OneRegion
	case "bulkRedirectsPath":
		return "write these redirects as `redirects`"
	}
	return ""
}

// builtIn reports whether `vercel build` writes a field into the output.
func builtIn(field string) bool {
	switch field {
	case "bunVersion", "cleanUrls", "crons", "functions", "headers", "images", "redirects", "rewrites", "routes", "trailingSlash", "wildcard":
		return true
	}
	return false
}

// known reports whether a field is another field of vercel.json: for a build, for
// Git, or deprecated.
func known(field string) bool {
	switch field {
	case "$schema", "alias", "build", "buildCommand", "builds", "devCommand", "env", "experimentalServiceGroups", "experimentalServices",
		"experimentalServicesV2", "fluid", "framework", "git", "github", "ignoreCommand", "installCommand", "name", "outputDirectory",
		"proxy", "public", "relatedProjects", "scope", "services", "version":
		return true
	}
	return false
}

// configNotices returns notices about the fields of a project's vercel.json that
// have no effect. root is the project's directory in the files of the upload.
func configNotices(fields []string, root string, files []lateen.SourceFile) []string {
	var notices, unbuilt, unknown []string
	built := slices.ContainsFunc(files, func(f lateen.SourceFile) bool {
		return f.Path == ".vercel/output/builds.json" || f.Path == path.Join(root, ".vercel/output/builds.json")
	})
	for _, field := range slices.Compact(slices.Sorted(slices.Values(fields))) {
		switch why := withoutEffect(field); {
		case why != "":
			notices = append(notices, field+" of vercel.json has no effect: "+why)
		case builtIn(field) && !built:
			unbuilt = append(unbuilt, field)
		case !builtIn(field) && !known(field):
			unknown = append(unknown, field)
		}
	}
	if len(unknown) > 0 {
		notices = append(notices, "vercel.json: nothing reads "+strings.Join(unknown, ", "))
	}
	if len(unbuilt) > 0 {
		notices = append(notices, strings.Join(unbuilt, ", ")+" of vercel.json may have no effect: `vercel build` reads that file, and the output was made without it")
	}
	return notices
}
