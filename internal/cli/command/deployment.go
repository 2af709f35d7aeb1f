package command

import (
	"errors"
	"net/url"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/client"
)

// Host returns the id or the host of a deployment, as the API accepts it, from user
// input, which may be a URL.
func Host(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return u.Host
	}
	return strings.TrimSuffix(text, "/")
}

// WithoutScheme returns a URL as people write it: the host, and the port if it has one.
func WithoutScheme(siteURL string) string {
	_, host, _ := strings.Cut(siteURL, "://")
	return host
}

// URLOf returns the URL of an alias of a deployment, with the scheme and the port of
// the deployment's own URL.
func URLOf(d *client.Deployment, host string) string {
	return strings.Replace(d.SiteURL, "://"+d.Host, "://"+host, 1)
}

// Address returns the URL at which visitors reach a deployment: that of its first alias, or
// its own.
func Address(d *client.Deployment) string {
	if len(d.Alias) > 0 {
		return URLOf(d, d.Alias[0])
	}
	return d.SiteURL
}

// IsGone reports whether the requested deployment or project does not exist.
func IsGone(err error) bool {
	return errors.Is(err, lateen.ErrDeploymentNotFound) || errors.Is(err, lateen.ErrProjectNotFound)
}
