// Package config holds every setting of the daemon: its default, its flag, its
// environment variable and what it means. Nothing else reads the environment.
package config

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
)

// Config is the settings of one `lateen up`. [Default] is complete and runs.
type Config struct {
	Data     string // data directory
	Listen   string // address of the public listener
	Domain   string // generated hosts are beneath it
	Scheme   string // of printed URLs: http, or https behind a proxy that ends TLS
	Database string // DSN of PostgreSQL; "" is SQLite in Data
	Team     string // slug of the team made at the first start
	Region   string // name of this place in x-vercel-id and VERCEL_REGION

	TLSCert, TLSKey     string         // PEM files; "" serves clear text
	TrustedProxies      []netip.Prefix // whose X-Forwarded-* headers are believed
	AllowPrivateOrigins bool           // external rewrites may reach every address
	BodyLimit           Bytes          // of a request to a function
	Unsandboxed         bool           // functions run without walls

	Pool        int           // blank processes kept ready for each runtime in use, at least
	Templates   int           // MiB that templates of functions may use; 0 is none of them
	Zygotes     bool          // blank processes may be forked
	Instances   int           // all instances together, at most
	PerFunction int           // instances of one function, at most
	Concurrency int           // requests at once in one instance
	Queue       int           // requests that may wait for one function
	KeepAlive   time.Duration // how long an idle instance stays; 0 learns it for each function
	Duration    time.Duration // of an invocation whose function does not say
	MaxDuration time.Duration // the most a function may ask for
	Memory      int           // MiB of an instance whose function does not say

	FunctionNetworks  []netip.Prefix // that functions reach besides the public Internet
	FunctionHostPorts []uint16       // of this host that functions reach

	FleetMemory  Bytes         // what all instances hold together, at which idle ones make room; 0 is half the machine's
	DrainTimeout time.Duration // how long requests in flight may take when stopping
	// ReloadTimeout is how long clients who connect wait at a reload, at most, for
	// requests that began during it.
	ReloadTimeout time.Duration

	TeamStorage Portion // what the files of one team's deployments take, of the data directory's disk; 0 is no bound

	CacheBytes  Bytes         // kept responses on disk, at most
	CacheMemory Bytes         // kept responses in memory, at most
	LogBytes    Bytes         // request log on disk, at most
	LogAge      time.Duration // request log, at most
	AuditAge    time.Duration // audit log, at most; 0 is for ever
	LogLevel    string        // of the daemon's own log: debug, info, warn, error
	LogFormat   string        // of the daemon's own log: text, json

	Registry string // npm registry that runtimes come from
}

// Default returns settings that run on one machine with no further word.
func Default(getenv func(string) string) *Config {
	return &Config{
		Data: defaultData(getenv), Listen: "127.0.0.1:8080", Domain: "localhost", Scheme: "http", Team: "team", Region: "local",
		BodyLimit: 100 << 20,
		Pool:      2, Templates: 1024, Zygotes: true, Instances: 128, PerFunction: 16, Concurrency: 64, Queue: 1000,
		Duration: 5 * time.Minute, MaxDuration: time.Hour, Memory: 1024, DrainTimeout: 30 * time.Second, ReloadTimeout: 10 * time.Second,
		TeamStorage: Portion{Percent: 50},
		CacheBytes:  2 << 30, CacheMemory: 128 << 20, LogBytes: 512 << 20, LogAge: 7 * 24 * time.Hour, AuditAge: 365 * 24 * time.Hour, LogLevel: "info", LogFormat: "text",
		Registry: "https://registry.npmjs.org/",
	}
}

// defaultData is /var/lib/lateen for root and the user's data directory for others.
func defaultData(getenv func(string) string) string {
	if os.Geteuid() == 0 {
		return "/var/lib/lateen"
	}
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "lateen")
	}
	return filepath.Join(getenv("HOME"), ".local", "share", "lateen")
}

// ErrInvalid is a setting that cannot be read.
var ErrInvalid = &lateen.Error{Code: lateen.Invalid, Reason: "config_invalid", Message: "a setting is malformed", Hint: "`lateen up --help` lists the settings"}

// Load returns the defaults with what the environment says over them.
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

// Getenv is the process's environment.
func Getenv(name string) string { return os.Getenv(name) }

// Environ is the process's environment, for children that inherit it.
func Environ() []string { return os.Environ() }

// Unset removes variables from the process's environment, so that no child
// inherits them.
func Unset(names ...string) {
	for _, name := range names {
		_ = os.Unsetenv(name) // it fails for no name that has been set
	}
}

// Validate reports settings that contradict each other.
func (c *Config) Validate() error {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return ErrInvalid.With("--tls-cert and --tls-key go together")
	case c.Database != "" && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://"):
		return ErrInvalid.With("--database is not a postgres:// DSN")
	case !lateen.IsHost(c.Domain):
		return ErrInvalid.With("--domain %q is not a domain: labels of a-z, 0-9 and -, divided by dots", c.Domain)
	case isAddress(c.Domain):
		return ErrInvalid.With("--domain %q is an address: generated hosts need a parent domain, such as localhost or example.com", c.Domain)
	case c.Listen != "" && !isListenAddress(c.Listen):
		return ErrInvalid.With("--listen %q is not host:port, as 127.0.0.1:8080 or :80", c.Listen)
	case c.Duration > c.MaxDuration:
		return ErrInvalid.With("--duration %s is more than --max-duration %s", c.Duration, c.MaxDuration)
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

// LocalURL is where the API answers, without a slash at the end.
func (c *Config) LocalURL() string {
	if c.Domain == "localhost" {
		scheme := "http"
		if c.TLSCert != "" {
			scheme = "https"
		}
		return scheme + "://" + c.Listen
	}
	return c.Scheme + "://api." + c.Domain
}

// SiteURL is the URL that reaches host, with the port where it is not the scheme's own.
func (c *Config) SiteURL(host string) string {
	if _, port, ok := strings.Cut(c.Listen[strings.LastIndex(c.Listen, ":"):], ":"); ok && c.Domain == "localhost" && port != "80" {
		host += ":" + port
	}
	return c.SiteScheme() + "://" + host
}

// SiteScheme is the scheme of the URLs of sites.
func (c *Config) SiteScheme() string {
	if c.TLSCert != "" {
		return "https"
	}
	return c.Scheme
}
