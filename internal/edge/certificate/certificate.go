// Package certificate reads the TLS certificate of a server from files.
package certificate

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// recheck is the interval between checks of a certificate's files for changes.
const recheck = time.Minute

// Files is a certificate in PEM files. It reloads the files when they change, so that
// a renewal takes no restart.
type Files struct {
	certFile, keyFile string

	mu      sync.Mutex // guards below
	pair    *tls.Certificate
	changed time.Time // modification time of the newer file
	checked time.Time // time of the last check of the files
}

// Open reads a certificate with its chain and its private key.
func Open(certFile, keyFile string) (*Files, error) {
	c := &Files{certFile: certFile, keyFile: keyFile}
	return c, c.load(time.Now())
}

// Config returns a TLS server configuration with this certificate.
func (c *Files) Config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get returns the current certificate. While the two files do not match, as
// between the writes of one and of the other, it returns the last valid one.
func (c *Files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= recheck {
		_ = c.load(now)
	}
	return c.pair, nil
}

// load reads the files if they have changed since the last load.
func (c *Files) load(now time.Time) error {
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
