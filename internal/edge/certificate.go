package edge

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// recheck is how often the files of a certificate are looked at.
const recheck = time.Minute

// Certificate is a certificate in PEM files that is read anew when they change,
// so that renewing it takes no restart.
type Certificate struct {
	certFile, keyFile string

	mu      sync.Mutex // guards below
	pair    *tls.Certificate
	changed time.Time // of the newer file
	checked time.Time
}

// OpenCertificate reads a certificate with its chain and its private key.
func OpenCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	return c, c.load(time.Now())
}

// Config returns the configuration of a server that has this certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get returns the certificate as it is now. While the files do not make a pair,
// as between the writing of one and of the other, the last one stays.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= recheck {
		_ = c.load(now)
	}
	return c.pair, nil
}

// load reads the files if they have changed since they were read last.
func (c *Certificate) load(now time.Time) error {
	c.checked = now
	changed, err := newest(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	if c.pair != nil && changed.Equal(c.changed) {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate %s: %w", c.certFile, err)
	}
	c.pair, c.changed = &pair, changed
	return nil
}

// newest is when the last of the files was written.
func newest(files ...string) (at time.Time, err error) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return time.Time{}, fmt.Errorf("read the certificate: %w", err)
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, nil
}

// functionTLS is what functions get that call a host of this platform over TLS where
// clients come without; nil where there are no certificates for that.
func (e *Edge) functionTLS() *tls.Config {
	if e.o.FunctionCertificate == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		host := hostname(hello.ServerName)
		if _, own := (*e.hosts.Load())[host]; !own {
			return nil, errUnknownHost
		}
		return e.o.FunctionCertificate(host)
	}}
}
