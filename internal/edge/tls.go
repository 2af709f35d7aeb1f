package edge

import (
	"crypto/tls"

	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/edge/site"
)

// functionTLS returns the TLS configuration for functions that call a host of this
// platform over TLS on a Plain listener; nil if the platform has no certificates
// for such calls.
func functionTLS(hosts *site.HostTable, certificate func(host string) (*tls.Certificate, error)) *tls.Config {
	if certificate == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		host := site.Hostname(hello.ServerName)
		if _, own := hosts.Get(host); !own {
			return nil, problem.ErrUnknownHost
		}
		return certificate(host)
	}}
}
