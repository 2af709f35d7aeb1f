package config

// Key is one setting.
type Key struct {
	Name  string // of the flag
	Env   string // of the environment variable
	Usage string
	Value Value // reads and writes the field
}

// Value is a setting as text, as flags want it.
type Value interface {
	String() string
	Set(text string) error
	Type() string
}

// Keys returns the settings of c in the order the reference lists them.
func (c *Config) Keys() []Key {
	return []Key{
		{"data", "LATEEN_DATA", "data directory: everything Lateen keeps is in it", text{&c.Data}},
		{"listen", "LATEEN_LISTEN", "address to serve on, unless sockets are passed as systemd does", text{&c.Listen}},
		{"domain", "LATEEN_DOMAIN", "parent domain of generated hosts; *.DOMAIN must resolve to this machine", text{&c.Domain}},
		{"scheme", "LATEEN_SCHEME", "scheme of printed URLs: https where a proxy in front ends TLS", choice{&c.Scheme, []string{"http", "https"}}},
		{"database", "LATEEN_DATABASE", "postgres:// DSN; empty is SQLite in the data directory", text{&c.Database}},
		{"team", "LATEEN_TEAM", "slug of the team made at the first start", text{&c.Team}},
		{"region", "LATEEN_REGION", "name of this place, as functions see it in VERCEL_REGION", text{&c.Region}},
		{"tls-cert", "LATEEN_TLS_CERT", "PEM file of the certificate chain; empty serves clear text", text{&c.TLSCert}},
		{"tls-key", "LATEEN_TLS_KEY", "PEM file of the certificate's key", text{&c.TLSKey}},
		{"trusted-proxies", "LATEEN_TRUSTED_PROXIES", "addresses (CIDR, comma-separated) whose X-Forwarded-* headers are believed", prefixes{&c.TrustedProxies}},
		{"allow-private-origins", "LATEEN_ALLOW_PRIVATE_ORIGINS", "let external rewrites reach every address and every port of this host", toggle{&c.AllowPrivateOrigins}},
		{"body-limit", "LATEEN_BODY_LIMIT", "largest request body a function takes", size{&c.BodyLimit}},
		{"unsandboxed", "LATEEN_UNSANDBOXED", "run functions without a sandbox: for hosts without namespaces and trusted code only, and for measurements", toggle{&c.Unsandboxed}},
		{"pool", "LATEEN_POOL", "blank processes kept ready for each runtime in use, at least: bursts make it more for a while; 0 keeps none", count{&c.Pool}},
		{"templates", "LATEEN_TEMPLATES", "MiB that processes may use that have loaded a function and wait to be forked or started; 0 makes none", count{&c.Templates}},
		{"zygotes", "LATEEN_ZYGOTES", "fork blank processes where none is ready, which shares the layout of memory between functions; false boots them", toggle{&c.Zygotes}},
		{"instances", "LATEEN_INSTANCES", "function instances at once, all together", count{&c.Instances}},
		{"per-function", "LATEEN_PER_FUNCTION", "instances of one function at once", count{&c.PerFunction}},
		{"concurrency", "LATEEN_CONCURRENCY", "requests at once in one instance, where the function does not say", count{&c.Concurrency}},
		{"queue", "LATEEN_QUEUE", "requests that may wait for one function before the answer is 503", count{&c.Queue}},
		{"keep-alive", "LATEEN_KEEP_ALIVE", "how long an idle instance stays; 0 learns it for each function", duration{&c.KeepAlive}},
		{"duration", "LATEEN_DURATION", "time an invocation may take, where the function does not say", duration{&c.Duration}},
		{"max-duration", "LATEEN_MAX_DURATION", "longest maxDuration a function may ask for", duration{&c.MaxDuration}},
		{"memory", "LATEEN_MEMORY", "MiB an instance may use, where the function does not say", count{&c.Memory}},
		{"instances-memory", "LATEEN_INSTANCES_MEMORY", "memory of all instances together, past which idle ones make room; 0 is half the machine's", size{&c.FleetMemory}},
		{"function-networks", "LATEEN_FUNCTION_NETWORKS", "private networks (CIDR, comma-separated) that functions and external rewrites may connect to", prefixes{&c.FunctionNetworks}},
		{"function-host-ports", "LATEEN_FUNCTION_HOST_PORTS", "ports of this host that functions may connect to, at host.lateen.internal, and external rewrites", ports{&c.FunctionHostPorts}},
		{"drain-timeout", "LATEEN_DRAIN_TIMEOUT", "how long requests in flight may take when stopping", duration{&c.DrainTimeout}},
		{"reload-timeout", "LATEEN_RELOAD_TIMEOUT", "how long new connections wait, at a reload, for requests that began during it", duration{&c.ReloadTimeout}},
		{"team-storage", "LATEEN_TEAM_STORAGE", "what the files of one team's deployments may take: a size, or a percentage of the data directory's disk; 0 is no bound", portion{&c.TeamStorage}},
		{"cache-bytes", "LATEEN_CACHE_BYTES", "disk for kept responses", size{&c.CacheBytes}},
		{"cache-memory", "LATEEN_CACHE_MEMORY", "memory for kept responses", size{&c.CacheMemory}},
		{"log-bytes", "LATEEN_LOG_BYTES", "disk for the request log", size{&c.LogBytes}},
		{"log-age", "LATEEN_LOG_AGE", "how long the request log goes back", duration{&c.LogAge}},
		{"audit-age", "LATEEN_AUDIT_AGE", "age at which entries of the audit log are deleted; 0 keeps all", duration{&c.AuditAge}},
		{"log-level", "LATEEN_LOG_LEVEL", "least level of the daemon's own log", choice{&c.LogLevel, []string{"debug", "info", "warn", "error"}}},
		{"log-format", "LATEEN_LOG_FORMAT", "format of the daemon's own log", choice{&c.LogFormat, []string{"text", "json"}}},
		{"registry", "NPM_CONFIG_REGISTRY", "npm registry that runtimes come from", text{&c.Registry}},
	}
}
