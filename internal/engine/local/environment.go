package local

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen/internal/guest/wasi"
)

// platformEnv is the environment that every process boots with. What a
// function sets comes on top. bin is where a program is that functions find by
// its name, "" for none.
func platformEnv(tmp, bin string) []string {
	tmp = cmp.Or(tmp, "/tmp")
	path := "/usr/local/bin:/usr/bin:/bin"
	if bin != "" {
		path = filepath.Dir(bin) + ":" + path
	}
	return []string{"HOME=" + tmp, "LANG=C.UTF-8", "PATH=" + path, "TMPDIR=" + tmp, "TZ=UTC"}
}

// environment returns what user code finds in its environment. An edge function
// that says which variables it uses gets those, its own and the platform's.
func (i *instance) environment() map[string]string {
	f := i.spec.Function
	switch {
	case f.Edge() && f.EdgeEnvVarsInUse == nil, f.Runtime == wasi.Runtime:
		return i.spec.Env
	case !f.Edge():
		return i.described()
	}
	env := map[string]string{}
	for name, value := range i.spec.Env {
		_, own := f.Environment[name]
		if own || strings.HasPrefix(name, "VERCEL") || slices.Contains(f.EdgeEnvVarsInUse, name) {
			env[name] = value
		}
	}
	return env
}

// described is the environment with the variables by which AWS Lambda describes
// a function, as libraries look there for its memory and for whether they run in
// one. Those that the function sets are its own.
func (i *instance) described() map[string]string {
	env := map[string]string{
		"AWS_EXECUTION_ENV":               "AWS_Lambda_" + i.spec.Function.Runtime,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.FormatInt(i.memory>>20, 10),
		"AWS_LAMBDA_FUNCTION_NAME":        i.spec.Name,
	}
	if region := i.spec.Env["VERCEL_REGION"]; region != "" {
		env["AWS_REGION"] = region
	}
	maps.Copy(env, i.spec.Env)
	return env
}
