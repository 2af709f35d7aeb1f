package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Client holds the settings by which commands reach a platform. A token and a team
// belong to the platform that issued them and are not sent to another: see
// [Client.Over].
type Client struct {
	API   string `json:"api"`             // base URL, without a slash at the end
	Token string `json:"token,omitempty"` // secret; "" before a login
	Team  string `json:"team,omitempty"`  // id or slug; "" is the user's first team
}

// Keys returns the settings of c, which are flags of every command.
func (c *Client) Keys() []Key {
	return []Key{
		{"api", "LATEEN_API", "URL of the API of the platform", text{&c.API}},
		{"token", "LATEEN_TOKEN", "token that overrides the stored login", text{&c.Token}},
		{"team", "LATEEN_SCOPE", "id or slug of the team (alias: --scope)", text{&c.Team}},
	}
}

// Over returns the settings of c, and those of base for the fields that c leaves
// empty. If they name different platforms, it returns c alone, because the token of
// base belongs to the other platform.
func (c *Client) Over(base Client) Client {
	if c.API != "" && base.API != "" && c.API != base.API {
		return *c
	}
	return Client{API: cmp.Or(c.API, base.API), Token: cmp.Or(c.Token, base.Token), Team: cmp.Or(c.Team, base.Team)}
}

// Validate normalises the API of c and reports an invalid URL as [ErrInvalid]. "" is
// valid.
func (c *Client) Validate() error {
	if c.API == "" {
		return nil
	}
	text := c.API
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return ErrInvalid.With("%q is not the URL of a platform", c.API).WithHint("use a URL such as https://api.example.com or http://127.0.0.1:8080")
	}
	c.API = u.Scheme + "://" + u.Host
	return nil
}

// ClientEnv returns the settings in environment variables.
func ClientEnv(getenv func(string) string) Client {
	var c Client
	for _, k := range c.Keys() {
		_ = k.Value.Set(strings.TrimSpace(getenv(k.Env))) // a text setting accepts every value
	}
	return c
}

// ClientFile returns the path of the commands' settings, a file of mode 0600 in the
// user's configuration directory. It is "" if there is no such directory.
func ClientFile(getenv func(string) string) string {
	dir := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		if dir = getenv("HOME"); !filepath.IsAbs(dir) {
			return ""
		}
		dir = filepath.Join(dir, ".config")
	}
	return filepath.Join(dir, "lateen", "config.json")
}

// ReadClient reads a file of [ClientFile]. A missing file has no settings; a
// malformed one is [ErrInvalid].
func ReadClient(file string) (Client, error) {
	var c Client
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || file == "" {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the settings of this user: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil || c.Validate() != nil {
		return Client{}, ErrInvalid.With("%s is not what `lateen login` writes", file).WithHint("remove it and log in again").Because(err)
	}
	return c, nil
}

// VercelDir returns the directory in which the vercel CLI stores its settings and
// its token, or "".
func VercelDir(getenv func(string) string, goos string) string {
	data, home := getenv("XDG_DATA_HOME"), getenv("HOME")
	if !filepath.IsAbs(data) {
		switch {
		case !filepath.IsAbs(home):
			return ""
		case goos == "darwin":
			data = filepath.Join(home, "Library", "Application Support")
		default:
			data = filepath.Join(home, ".local", "share")
		}
	}
	return filepath.Join(data, "com.vercel.cli")
}
