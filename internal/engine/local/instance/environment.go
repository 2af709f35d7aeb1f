package instance

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen/internal/guest/wasi"
)

// environment returns the environment of user code. An edge function that lists its
// variables gets those, its own and the platform's.
func (o *Options) environment() map[string]string {
	f := o.Spec.Function
	switch {
	case f.Edge() && f.EdgeEnvVarsInUse == nil, f.Runtime == wasi.Runtime:
		return o.Spec.Env
	case !f.Edge():
		return o.described()
	}
	env := map[string]string{}
	for name, value := range o.Spec.Env {
		_, own := f.Environment[name]
		if own || strings.HasPrefix(name, "VERCEL") || slices.Contains(f.EdgeEnvVarsInUse, name) {
			env[name] = value
		}
	}
	return env
}

// described returns the environment with the variables by which AWS Lambda describes
// a function; libraries read them to find the memory limit and to detect Lambda.
// Variables that the function sets take precedence.
func (o *Options) described() map[string]string {
	env := map[string]string{
		"AWS_EXECUTION_ENV":               "AWS_Lambda_" + o.Spec.Function.Runtime,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.FormatInt(o.Memory>>20, 10),
		"AWS_LAMBDA_FUNCTION_NAME":        o.Spec.Name,
	}
	if region := o.Spec.Env["VERCEL_REGION"]; region != "" {
		env["AWS_REGION"] = region
	}
	maps.Copy(env, o.Spec.Env)
	return env
}
