package config_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-dev/lateen/internal/config"
)

func env(pairs ...string) func(string) string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func TestTheDefaultsAreValidAndEverySettingParsesItsOwnText(t *testing.T) {
	c := config.Default(env("HOME", "/home/ada"))
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range c.Keys() {
		if seen[k.Name] || seen[k.Env] || k.Usage == "" {
			t.Errorf("--%s: the flag or %s exists twice, or has no usage", k.Name, k.Env)
		}
		seen[k.Name], seen[k.Env] = true, true
		before := k.Value.String()
		if err := k.Value.Set(before); err != nil || k.Value.String() != before {
			t.Errorf("--%s prints %q and reads it as %q, %v", k.Name, before, k.Value.String(), err)
		}
	}
}

func TestTheDefaultDataDirectoryBelongsToTheUser(t *testing.T) {
	for _, c := range []struct {
		root bool
		env  func(string) string
		want string
	}{
		{true, env(), "/var/lib/lateen"},
		{false, env("HOME", "/home/ada"), "/home/ada/.local/share/lateen"},
		{false, env("HOME", "/home/ada", "XDG_DATA_HOME", "/data/ada"), "/data/ada/lateen"},
		{false, env("HOME", "ada"), ""},
		{false, env(), ""},
	} {
		if got := config.DefaultData(c.root, c.env); got != c.want {
			t.Errorf("root %v, HOME %q: %q, want %q", c.root, c.env("HOME"), got, c.want)
		}
	}
}

func TestTheEnvironmentOverridesTheDefaults(t *testing.T) {
	c, err := config.Load(env("LATEEN_KEEP_ALIVE", "90s", "LATEEN_BODY_LIMIT", "4MiB", "LATEEN_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1, ::ffff:10.9.0.0/112", "LATEEN_ALLOW_PRIVATE_ORIGINS", "true", "LATEEN_POOL", "7", "LATEEN_AUDIT_AGE", "90d"))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("10.9.0.0/16")}
	if diff := cmp.Diff(want, c.TrustedProxies, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if c.KeepAlive != 90*time.Second || c.AuditAge != 90*24*time.Hour || c.BodyLimit != 4<<20 || !c.AllowPrivateOrigins || c.Pool != 7 {
		t.Errorf("read %s, %s, %s, %v, %d", c.KeepAlive, c.AuditAge, c.BodyLimit, c.AllowPrivateOrigins, c.Pool)
	}
}

func TestAMalformedSettingIsNamedWithItsValue(t *testing.T) {
	for name, value := range map[string]string{
		"LATEEN_KEEP_ALIVE": "soon", "LATEEN_LOG_AGE": "-1d", "LATEEN_AUDIT_AGE": "40000d", "LATEEN_TEAM_STORAGE": "lots", "LATEEN_POOL": "-1", "LATEEN_BODY_LIMIT": "9999999999GiB",
		"LATEEN_TRUSTED_PROXIES": "everyone", "LATEEN_LOG_LEVEL": "loud", "LATEEN_ALLOW_PRIVATE_ORIGINS": "perhaps",
	} {
		_, err := config.Load(env(name, value))
		if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), value) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

func TestAMemoryLimitIsInMiBWithOrWithoutTheUnit(t *testing.T) {
	for text, want := range map[string]int{"512": 512, "512MiB": 512, "2GiB": 2048, "2048KiB": 2} {
		c, err := config.Load(env("LATEEN_MEMORY", text, "LATEEN_TEMPLATES", text))
		if err != nil || c.Memory != want || c.Templates != want {
			t.Errorf("%s is not %d MiB: %v", text, want, err)
		}
	}
	for _, text := range []string{"512MB", "512M", "1.5GiB", "512KiB", "-1", "99999999999GiB"} {
		if _, err := config.Load(env("LATEEN_TEMPLATES", text)); err == nil || !strings.Contains(err.Error(), "512, 512MiB, 2GiB") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"a certificate without a key":  func(c *config.Config) { c.TLSCert = "cert.pem" },
		"another database":             func(c *config.Config) { c.Database = "mysql://x" },
		"a database that is no URL":    func(c *config.Config) { c.Database = "postgres://lateen:50%@host/shop" },
		"a domain with a trailing dot": func(c *config.Config) { c.Domain = "example.com." },
		"a domain with a space":        func(c *config.Config) { c.Domain = "my site.example" },
		"a domain with a port":         func(c *config.Config) { c.Domain = "localhost:8080" },
		"a URL for a domain":           func(c *config.Config) { c.Domain = "https://example.com" },
		"no domain":                    func(c *config.Config) { c.Domain = "" },
		"a duration past the longest":  func(c *config.Config) { c.Duration = 2 * time.Hour },
		"an address for a domain":      func(c *config.Config) { c.Domain = "127.0.0.1" },
		"a port past 65535":            func(c *config.Config) { c.Listen = "127.0.0.1:99999" },
		"a port without a colon":       func(c *config.Config) { c.Listen = "8080" },
		"a team that is no label":      func(c *config.Config) { c.Team = "The Team" },
	} {
		c := config.Default(env())
		change(c)
		if c.Validate() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestURLsBelowLocalhostHaveThePort(t *testing.T) {
	c := config.Default(env())
	if got := c.SiteURL("shop.localhost"); got != "http://shop.localhost:8080" {
		t.Error(got)
	}
	c.Domain, c.Scheme = "example.com", "https"
	if got := c.SiteURL("shop.example.com"); got != "https://shop.example.com" {
		t.Error(got)
	}
	if got := c.LocalURL(); got != "https://api.example.com" {
		t.Error(got)
	}
}

func TestTheAPIHasHTTPSIfThePlatformTerminatesTLS(t *testing.T) {
	c := config.Default(env())
	c.Domain, c.Listen, c.TLSCert, c.TLSKey = "example.com", ":443", "cert.pem", "key.pem"
	if got := c.LocalURL(); got != "https://api.example.com" {
		t.Error(got)
	}
}

func TestVariablesThatAreNoSettingAreUnknown(t *testing.T) {
	got := config.Unknown([]string{"PATH=/bin", "LATEEN_LISTN=:80", "LATEEN_LISTEN=:80", "LATEEN_TOKEN=x", "LATEEN_SCOPE=acme", "LATEEN_TEST_HOST=1", "LATEEN_DOMIAN=x", "LATEEN_DOMIAN=y"})
	if want := []string{"LATEEN_DOMIAN", "LATEEN_LISTN"}; !cmp.Equal(got, want) {
		t.Errorf("%q are unknown, want %q", got, want)
	}
}

func TestPortsAreAList(t *testing.T) {
	c, err := config.Load(env("HOME", "/home/ada", "LATEEN_FUNCTION_HOST_PORTS", "5432, 6379", "LATEEN_FUNCTION_NETWORKS", "10.0.0.0/8,192.168.1.5"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint16{5432, 6379}, c.FunctionHostPorts); diff != "" {
		t.Error(diff)
	}
	if len(c.FunctionNetworks) != 2 || c.FunctionNetworks[1].String() != "192.168.1.5/32" {
		t.Errorf("the networks are %v", c.FunctionNetworks)
	}
	for _, bad := range []string{"0", "65536", "-1", "http", "80;81"} {
		if _, err := config.Load(env("HOME", "/home/ada", "LATEEN_FUNCTION_HOST_PORTS", bad)); !errors.Is(err, config.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
