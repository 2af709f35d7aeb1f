package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestARenewedCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := x509.NewCertPool()
	writeCertificate(t, pool, 1, certFile, keyFile)
	cert, err := Open(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(want int64) {
		t.Helper()
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		served := make(chan error, 1)
		go func() { served <- tls.Server(far, cert.Config()).HandshakeContext(t.Context()) }()
		client := tls.Client(near, &tls.Config{RootCAs: pool, ServerName: "app.localhost"})
		if err := client.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := client.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != want {
			t.Errorf("certificate %d is served, want %d", got, want)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
	ask(1)
	writeCertificate(t, pool, 2, certFile, keyFile)
	ask(1)
	cert.mu.Lock()
	cert.checked = time.Time{} // as if a minute had passed
	cert.mu.Unlock()
	ask(2)
	if err := os.WriteFile(certFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert.mu.Lock()
	cert.checked = time.Time{}
	cert.mu.Unlock()
	ask(2)
	if _, err := Open(certFile, keyFile); err == nil {
		t.Error("a broken certificate was opened")
	}
}

// writeCertificate writes a fresh certificate for app.localhost, trusted by pool.
func writeCertificate(t *testing.T, pool *x509.CertPool, serial int64, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{"app.localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(public)
	for file, content := range map[string][]byte{certFile: public, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_700_000_000+serial, 0)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
}
