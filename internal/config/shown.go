package config

import (
	"net/url"
	"slices"
	"strings"
)

// Setting is the value of a setting in a form that may be published.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Changed bool   `json:"changed"` // differs from the default
}

// redacted replaces a secret.
const redacted = "REDACTED"

// shownParameters are the query parameters of URLs that contain no secret.
var shownParameters = []string{"sslmode", "connect_timeout", "application_name", "pool_max_conns", "pool_min_conns"} //nolint:gochecknoglobals // a constant in all but name

// Shown returns all settings in the order of the reference. URLs have neither user
// information nor, except for some parameters, a query.
func (c *Config) Shown() []Setting {
	defaults := Default(func(string) string { return "" }).Keys()
	all := make([]Setting, 0, len(defaults))
	for i, k := range c.Keys() {
		value, _ := redactURL(k.Value.String())
		all = append(all, Setting{Name: k.Name, Value: value, Changed: k.Value.String() != defaults[i].Value.String()})
	}
	return all
}

// Secrets returns the secrets that the settings contain.
func (c *Config) Secrets() (secrets []string) {
	for _, k := range c.Keys() {
		_, in := redactURL(k.Value.String())
		secrets = append(secrets, in...)
	}
	return secrets
}

// redactURL returns a URL without its secrets, and the secrets, decoded and as
// written. Of a malformed URL all is secret. It returns any other text unchanged.
func redactURL(text string) (shown string, secrets []string) {
	whole := strings.Contains(text, "://")
	if !whole && (!strings.Contains(text, "@") || strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//")) {
		return text, nil // neither a URL nor, without its scheme, one with user information
	}
	u, err := url.Parse(text)
	if err != nil || !whole {
		return redacted, []string{text}
	}
	if u.User != nil {
		name := u.User.Username()
		if password, ok := u.User.Password(); ok {
			secrets = append(secrets, password)
		} else {
			secrets = append(secrets, name) // a token in place of name and password
		}
		if _, written, ok := strings.Cut(u.User.String(), ":"); ok {
			secrets = append(secrets, written)
		}
		u.User = url.User(redacted)
	}
	query := u.Query()
	for name, values := range query {
		if !slices.Contains(shownParameters, name) {
			secrets = append(secrets, values...)
			query[name] = []string{redacted}
		}
	}
	u.RawQuery, u.Fragment = query.Encode(), ""
	return u.String(), slices.DeleteFunc(secrets, func(s string) bool { return s == "" })
}
