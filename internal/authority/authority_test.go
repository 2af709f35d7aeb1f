package authority

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestClientsThatTrustTheAuthorityTrustItsHosts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authority.pem")
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v (%v)", info.Mode(), err)
	}
	again, err := Open(path)
	if err != nil || !bytes.Equal(a.Certificate(), again.Certificate()) {
		t.Fatalf("another authority is in the file: %v", err)
	}
	if bytes.Contains(a.Certificate(), []byte("PRIVATE")) {
		t.Fatal("the key is with the certificate")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(again.Certificate())
	c, err := a.For("app.localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "app.localhost"}); err != nil {
		t.Error(err)
	}
	if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "other.localhost"}); err == nil {
		t.Error("the certificate is for any host")
	}
	if c.Leaf.IsCA {
		t.Error("the certificate can make others")
	}
	if same, err := a.For("app.localhost"); err != nil || same != c {
		t.Errorf("the certificate was made twice (%v)", err)
	}
}

func TestExpiringCertificatesAreReplaced(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "authority.pem"), time.Now()
	clock := func() time.Time { return now }
	a, err := open(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.For("app.localhost")
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(leafLife - time.Minute)
	if second, err := a.For("app.localhost"); err != nil || second == first || !second.Leaf.NotAfter.After(now.Add(leafLife/2)) {
		t.Errorf("the host's certificate ends soon (%v)", err)
	}
	now = now.Add(authorityLife * 19 / 20)
	if b, err := open(path, clock); err != nil || bytes.Equal(a.Certificate(), b.Certificate()) {
		t.Errorf("the authority ends soon (%v)", err)
	}
}

func TestADamagedAuthorityIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(path, []byte("no"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("it was opened")
	}
}

func TestCertificatesHoldWhereTheClockIsSetBack(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "authority.pem"), time.Now()
	clock := func() time.Time { return now }
	a, err := open(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.For("app.localhost"); err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(-1, 0, 0)
	if b, err := open(path, clock); err != nil || !bytes.Equal(a.Certificate(), b.Certificate()) {
		t.Errorf("another authority is in the file (%v)", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.Certificate())
	for _, host := range []string{"app.localhost", "other.localhost"} {
		c, err := a.For(host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: now}); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAuthorityThatIsNotYetValidIsReplaced(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "authority.pem"), time.Now()
	clock := func() time.Time { return now }
	a, err := open(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	now = now.AddDate(-20, 0, 0)
	if b, err := open(path, clock); err != nil || bytes.Equal(a.Certificate(), b.Certificate()) {
		t.Errorf("no client takes the authority (%v)", err)
	}
}
