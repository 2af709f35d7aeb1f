// Package authority creates the certificates with which functions reach their own
// platform over TLS when clients reach it without TLS. Only functions trust the
// authority, and its key never leaves the process.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 7 * 24 * time.Hour
	slack         = time.Hour // tolerated difference of clocks
	maxLeaves     = 1024      // certificates in memory
)

// Authority creates certificates. Its methods are safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	leaf *ecdsa.PrivateKey // key of all created certificates
	now  func() time.Time

	mu     sync.Mutex // guards the field below
	leaves map[string]*tls.Certificate
}

// Open reads the authority in a file, or creates one there. It replaces an authority
// that is about to expire or, after the clock was set back, is not valid yet.
func Open(path string) (*Authority, error) { return open(path, time.Now) }

func open(path string, now func() time.Time) (*Authority, error) {
	a := &Authority{now: now, leaves: map[string]*tls.Certificate{}}
	text, err := os.ReadFile(path)
	if err == nil {
		err = a.parse(text)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && !holds(a.cert, now(), authorityLife/10) {
		if text, err = a.create(); err == nil {
			err = atomicfile.Write(path, text, 0o600)
		}
	}
	if err == nil {
		a.leaf, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority in %s: %w", path, err)
	}
	return a, nil
}

// holds reports whether a certificate is valid now and for a duration.
func holds(c *x509.Certificate, now time.Time, long time.Duration) bool {
	return !now.Before(c.NotBefore) && c.NotAfter.Sub(now) > long
}

// The block types of a file.
const (
	typeCertificate = "CERTIFICATE"
	typeKey         = "EC PRIVATE KEY"
)

func (a *Authority) parse(text []byte) (err error) {
	cert, rest := pem.Decode(text)
	key, _ := pem.Decode(rest)
	if cert == nil || key == nil {
		return errors.New("the file has no certificate and key")
	}
	if a.cert, err = x509.ParseCertificate(cert.Bytes); err != nil {
		return err
	}
	a.key, err = x509.ParseECPrivateKey(key.Bytes)
	return err
}

// create creates an authority, and returns the content of its file.
func (a *Authority) create() ([]byte, error) {
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := a.template("Lateen, for functions", authorityLife)
	template.NotBefore = template.NotBefore.Add(-authorityLife) // functions continue to trust it after the clock is set back
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	key, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	return append(a.Certificate(), pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: key})...), nil
}

func (a *Authority) template(name string, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // it never fails
	now := a.now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-slack), NotAfter: now.Add(life),
	}
}

// Certificate returns the authority's own certificate in PEM, for the trust store of
// a client.
func (a *Authority) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: a.cert.Raw})
}

// For returns a certificate for a host.
func (a *Authority) For(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.leaves[host]; c != nil && holds(c.Leaf, a.now(), leafLife/2) {
		return c, nil
	}
	template := a.template("", leafLife)
	template.DNSNames, template.ExtKeyUsage = []string{host}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", host, err)
	}
	c := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leaf}
	if c.Leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", host, err)
	}
	if len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	a.leaves[host] = c
	return c, nil
}
