package config

// Key is one setting.
type Key struct {
	Name  string // name of the flag
	Env   string // name of the environment variable
	Usage string
	Value Value // accessor of the field
}

// Value is a setting as text. It implements the value of a flag.
type Value interface {
	String() string
	Set(text string) error
	Type() string
}

// Keys returns the settings of c in the order of the reference.
func (c *Config) Keys() []Key {
	return []Key{
		{"data", "LATEEN_DATA", "data directory, which holds all data of the platform", text{&c.Data}},
		{"listen", "LATEEN_LISTEN", "address to serve on, unless sockets are passed as systemd does", text{&c.Listen}},
		{"domain", "LATEEN_DOMAIN", "parent domain of generated hosts; *.DOMAIN must resolve to this machine", text{&c.Domain}},
		{"scheme", "LATEEN_SCHEME", "scheme of printed URLs; https if a proxy in front terminates TLS", choice{&c.Scheme, []string{"http", "https"}}},
		{"database", "LATEEN_DATABASE", "postgres:// DSN; empty selects SQLite in the data directory", text{&c.Database}},
		{"team", "LATEEN_TEAM", "slug of the team that the first start creates", text{&c.Team}},
		{"region", "LATEEN_REGION", "region name, which functions see in VERCEL_REGION", text{&c.Region}},
		{"roles", "LATEEN_ROLES", "roles of this process: control,edge,worker, or control,edge or worker alone", text{&c.Roles}},
		{"workers", "LATEEN_WORKERS", "unix:PATH of the worker that runs functions, for a process without the role worker", text{&c.Workers}},
		{"worker-listen", "LATEEN_WORKER_LISTEN", "unix:PATH to listen on, for a process with only the role worker", text{&c.WorkerListen}},
		{"tls-cert", "LATEEN_TLS_CERT", "PEM file of the certificate chain; empty serves HTTP", text{&c.TLSCert}},
		{"tls-key", "LATEEN_TLS_KEY", "PEM file of the certificate's key", text{&c.TLSKey}},
		{"trusted-proxies", "LATEEN_TRUSTED_PROXIES", "proxies (CIDR, comma-separated) whose X-Forwarded-* headers are trusted", prefixes{&c.TrustedProxies}},
		{"allow-private-origins", "LATEEN_ALLOW_PRIVATE_ORIGINS", "let external rewrites reach every address and every port of this host", toggle{&c.AllowPrivateOrigins}},
		{"body-limit", "LATEEN_BODY_LIMIT", "largest request body a function takes", size{&c.BodyLimit}},
		{"unsandboxed", "LATEEN_UNSANDBOXED", "run functions without a sandbox; for hosts without namespaces and for benchmarks, with trusted code only", toggle{&c.Unsandboxed}},
		{"pool", "LATEEN_POOL", "minimum blank processes of each runtime in use; bursts raise the number for a while; 0 keeps none", count{&c.Pool}},
		{"templates", "LATEEN_TEMPLATES", "memory for template processes (which have loaded a function and wait to be forked or started), in MiB; 0 disables them", mebibytes{&c.Templates}},
		{"zygotes", "LATEEN_ZYGOTES", "when the pool is empty, fork blank processes from a zygote instead of booting them (forked processes share an address-space layout)", toggle{&c.Zygotes}},
		{"instances", "LATEEN_INSTANCES", "maximum instances of all functions together", count{&c.Instances}},
		{"per-function", "LATEEN_PER_FUNCTION", "maximum instances of one function", count{&c.PerFunction}},
		{"concurrency", "LATEEN_CONCURRENCY", "concurrency limit of an instance, unless the function sets one", count{&c.Concurrency}},
		{"queue", "LATEEN_QUEUE", "requests that may wait for one function before the answer is 503", count{&c.Queue}},
		{"keep-alive", "LATEEN_KEEP_ALIVE", "time that an idle instance is kept; 0 learns it for each function", duration{&c.KeepAlive}},
		{"duration", "LATEEN_DURATION", "time limit of an invocation, unless the function sets one", duration{&c.Duration}},
		{"max-duration", "LATEEN_MAX_DURATION", "longest maxDuration that a function may set", duration{&c.MaxDuration}},
		{"memory", "LATEEN_MEMORY", "memory limit of an instance in MiB, unless the function sets one", mebibytes{&c.Memory}},
		{"instances-memory", "LATEEN_INSTANCES_MEMORY", "memory budget of all instances, past which idle ones are evicted; 0 is half the machine's memory", size{&c.FleetMemory}},
		{"function-networks", "LATEEN_FUNCTION_NETWORKS", "private networks (CIDR, comma-separated) that functions and external rewrites may connect to", prefixes{&c.FunctionNetworks}},
		{"function-host-ports", "LATEEN_FUNCTION_HOST_PORTS", "ports of this host that functions may connect to, at host.lateen.internal, and external rewrites", ports{&c.FunctionHostPorts}},
		{"drain-timeout", "LATEEN_DRAIN_TIMEOUT", "time that requests in flight get to finish at a stop", duration{&c.DrainTimeout}},
		{"reload-timeout", "LATEEN_RELOAD_TIMEOUT", "longest time that new connections wait, at a reload, for requests that began during it", duration{&c.ReloadTimeout}},
		{"team-storage", "LATEEN_TEAM_STORAGE", "storage of one team's deployments: a size, or a percentage of the data directory's disk; 0 is unlimited", portion{&c.TeamStorage}},
		{"cache-bytes", "LATEEN_CACHE_BYTES", "disk space for cached pages and the data cache", size{&c.CacheBytes}},
		{"cache-memory", "LATEEN_CACHE_MEMORY", "memory for cached pages", size{&c.CacheMemory}},
		{"log-bytes", "LATEEN_LOG_BYTES", "disk space for the request log", size{&c.LogBytes}},
		{"log-age", "LATEEN_LOG_AGE", "age at which entries of the request log are deleted", duration{&c.LogAge}},
		{"audit-age", "LATEEN_AUDIT_AGE", "age at which entries of the audit log are deleted; 0 keeps all", duration{&c.AuditAge}},
		{"usage-age", "LATEEN_USAGE_AGE", "age at which the hourly usage of functions is deleted; 0 keeps all", duration{&c.UsageAge}},
		{"log-level", "LATEEN_LOG_LEVEL", "lowest level of the daemon's own log", choice{&c.LogLevel, []string{"debug", "info", "warn", "error"}}},
		{"log-format", "LATEEN_LOG_FORMAT", "format of the daemon's own log", choice{&c.LogFormat, []string{"text", "json"}}},
		{"registry", "NPM_CONFIG_REGISTRY", "npm registry from which runtimes are fetched", text{&c.Registry}},
	}
}
