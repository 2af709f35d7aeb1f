package edge

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// recheck is the interval between checks of a certificate's files for changes.
const recheck = time.Minute

// Certificate is a certificate in PEM files. It reloads the files when they
// change, so that a renewal takes no restart.
type Certificate struct {
	certFile, keyFile string

	mu      sync.Mutex // guards below
	pair    *tls.Certificate
	changed time.Time // modification time of the newer file
	checked time.Time // time of the last check of the files
}

// OpenCertificate reads a certificate with its chain and its private key.
func OpenCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	return c, c.load(time.Now())
}

// Config returns a TLS server configuration with this certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get returns the current certificate. While the two files do not match, as
// between the writes of one and of the other, it returns the last valid one.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= recheck {
		_ = c.load(now)
	}
	return c.pair, nil
}

// load reads the files if they have changed since the last load.
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

// newest returns the latest modification time of files.
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

// functionTLS returns the TLS configuration for functions that call a host of this
// platform over TLS on a Plain listener; nil if the platform has no certificates
// for such calls.
func (e *Edge) functionTLS() *tls.Config {
	if e.o.FunctionCertificate == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		host := hostname(hello.ServerName)
		if _, own := e.hosts.get(host); !own {
			return nil, errUnknownHost
		}
		return e.o.FunctionCertificate(host)
	}}
}
