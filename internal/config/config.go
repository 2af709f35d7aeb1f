// Package config holds every setting of the daemon and its commands: the default,
// the flag, the environment variable and the usage. No other package reads the
// environment.
package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// Config holds the settings of one `lateen up`. [Default] returns a complete set.
type Config struct {
	Data     string // data directory
	Listen   string // address of the public listener
	Domain   string // parent domain of generated hosts
	Scheme   string // scheme of printed URLs: http, or https behind a proxy that terminates TLS
	Database string // DSN of PostgreSQL; "" selects SQLite in Data
	Team     string // slug of the team that the first start creates
	Roles    string // comma-separated roles of this process; see [Config.Has]
	Region   string // region name in x-vercel-id and VERCEL_REGION

	TLSCert, TLSKey     string         // PEM files; "" serves HTTP
	TrustedProxies      []netip.Prefix // proxies whose X-Forwarded-* headers are trusted
	AllowPrivateOrigins bool           // whether external rewrites may reach every address
	BodyLimit           Bytes          // largest request body of a function
	Unsandboxed         bool           // whether functions run without a sandbox

	WorkerListen string // socket on which a worker alone listens, unix:PATH
	Workers      string // socket of the worker for an edge without one, unix:PATH

	Pool        int           // minimum blank processes of each runtime in use
	Templates   int           // MiB that template processes may use; 0 disables them
	Zygotes     bool          // whether blank processes may be forked from a zygote
	Instances   int           // maximum instances of all functions together
	PerFunction int           // maximum instances of one function
	Concurrency int           // concurrency limit of an instance
	Queue       int           // maximum waiting requests of one function
	KeepAlive   time.Duration // keep-alive time of an idle instance; 0 learns it for each function
	Duration    time.Duration // time limit of an invocation without a maxDuration
	MaxDuration time.Duration // greatest maxDuration of a function
	Memory      int           // memory limit in MiB of an instance without one

	FunctionNetworks  []netip.Prefix // networks that functions reach besides the public Internet
	FunctionHostPorts []uint16       // ports of this host that functions reach

	FleetMemory  Bytes         // memory budget of all instances, past which idle ones are evicted; 0 is half the machine's memory
	DrainTimeout time.Duration // time that requests in flight get at a stop
	// ReloadTimeout is the longest time that new connections wait at a reload for
	// requests that began during it.
	ReloadTimeout time.Duration

	TeamStorage Portion // bound of the files of one team's deployments, absolute or relative to the data directory's disk; 0 is no bound

	CacheBytes  Bytes         // maximum bytes of cached pages on disk
	CacheMemory Bytes         // maximum bytes of cached pages in memory
	LogBytes    Bytes         // maximum bytes of the request log on disk
	LogAge      time.Duration // maximum age of request log entries
	AuditAge    time.Duration // maximum age of audit log entries; 0 keeps all
	UsageAge    time.Duration // maximum age of stored usage; 0 keeps all
	LogLevel    string        // level of the daemon's own log: debug, info, warn, error
	LogFormat   string        // format of the daemon's own log: text, json

	Registry string // npm registry from which runtimes are fetched
}

// Default returns settings with which the platform runs on one machine.
func Default(getenv func(string) string) *Config {
	return &Config{
		Data: DefaultData(os.Geteuid() == 0, getenv), Listen: "127.0.0.1:8080", Domain: "localhost", Scheme: "http", Team: "team", Region: "local", Roles: "control,edge,worker",
		BodyLimit: 100 << 20,
		Pool:      2, Templates: 1024, Zygotes: true, Instances: 128, PerFunction: 16, Concurrency: 64, Queue: 1000,
		Duration: 5 * time.Minute, MaxDuration: time.Hour, Memory: 1024, DrainTimeout: 30 * time.Second, ReloadTimeout: 10 * time.Second,
		TeamStorage: Portion{Percent: 50},
		CacheBytes:  2 << 30, CacheMemory: 128 << 20, LogBytes: 512 << 20, LogAge: 7 * 24 * time.Hour, AuditAge: 365 * 24 * time.Hour, UsageAge: 400 * 24 * time.Hour, LogLevel: "info", LogFormat: "text",
		Registry: "https://registry.npmjs.org/",
	}
}

// DefaultData is /var/lib/lateen for root, and a directory in the user's data directory
// for other users; "" for a user without one.
func DefaultData(root bool, getenv func(string) string) string {
	if root {
		return "/var/lib/lateen"
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "lateen")
	}
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return ""
	}
	return filepath.Join(home, ".local", "share", "lateen")
}

// ErrInvalid reports a malformed setting.
var ErrInvalid = &lateen.Error{Code: lateen.Invalid, Reason: "config_invalid", Message: "a setting is malformed", Hint: "`lateen up --help` lists the settings"}

// Load returns the defaults, overridden by the environment variables.
func Load(getenv func(string) string) (*Config, error) {
	c := Default(getenv)
	for _, k := range c.Keys() {
		text := getenv(k.Env)
		if text == "" {
			continue
		}
		if err := k.Value.Set(text); err != nil {
			return nil, ErrInvalid.With("%s is %q: %v", k.Env, text, err)
		}
	}
	return c, nil
}

// Variables returns the names of the environment variables of all settings, of the
// platform and of its commands.
func Variables() (names []string) {
	for _, k := range slices.Concat(new(Config).Keys(), new(Client).Keys()) {
		names = append(names, k.Env)
	}
	return names
}

// Unknown returns the variables of environ that begin with LATEEN_ and belong to no
// setting.
func Unknown(environ []string) (names []string) {
	known := Variables()
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "LATEEN_") && !strings.HasPrefix(name, "LATEEN_TEST_") && !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Getenv returns a variable of the process's environment.
func Getenv(name string) string { return os.Getenv(name) }

// Environ returns the process's environment, for child processes.
func Environ() []string { return os.Environ() }

// Unset removes variables from the process's environment, so that no child process
// inherits them.
func Unset(names ...string) {
	for _, name := range names {
		_ = os.Unsetenv(name) // it cannot fail for a name that is set
	}
}

// isURL reports whether text is a URL. The error of the parser could show a password.
func isURL(text string) bool {
	_, err := url.Parse(text)
	return err == nil
}

// Validate reports settings that contradict each other.
func (c *Config) Validate() error {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return ErrInvalid.With("--tls-cert and --tls-key must be set together")
	case c.Database != "" && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://"):
		return ErrInvalid.With("--database is not a postgres:// DSN")
	case !isURL(c.Database):
		return ErrInvalid.With("--database is not a URL").WithHint("percent-encode special characters in the user and the password, such as %%40 for @")
	case !lateen.IsHost(c.Domain):
		return ErrInvalid.With("--domain %q is not a domain: labels of a-z, 0-9 and -, divided by dots", c.Domain)
	case isAddress(c.Domain):
		return ErrInvalid.With("--domain %q is an address: generated hosts need a parent domain, such as localhost or example.com", c.Domain)
	case c.Listen != "" && !isListenAddress(c.Listen):
		return ErrInvalid.With("--listen %q is not host:port, such as 127.0.0.1:8080 or :80", c.Listen)
	case c.Duration > c.MaxDuration:
		return ErrInvalid.With("--duration %s is more than --max-duration %s", c.Duration, c.MaxDuration)
	}
	if err := c.validateRoles(); err != nil {
		return err
	}
	return (&lateen.Team{Slug: c.Team}).Validate()
}

func isListenAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

// LocalURL is the URL of the API, without a trailing slash.
func (c *Config) LocalURL() string {
	if c.Domain == "localhost" {
		scheme := "http"
		if c.TLSCert != "" {
			scheme = "https"
		}
		return scheme + "://" + c.Listen
	}
	return c.SiteScheme() + "://api." + c.Domain
}

// SiteURL is the URL of host. For hosts below localhost it has the port, unless that
// is 80.
func (c *Config) SiteURL(host string) string {
	if _, port, ok := strings.Cut(c.Listen[strings.LastIndex(c.Listen, ":"):], ":"); ok && c.Domain == "localhost" && port != "80" {
		host += ":" + port
	}
	return c.SiteScheme() + "://" + host
}

// SiteScheme is the scheme of the URLs of sites and, under a domain, of the API.
func (c *Config) SiteScheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return c.Scheme
}
