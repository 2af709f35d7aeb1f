package secret_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/secret"
)

var _ secret.Keeper = (*secret.FileKeeper)(nil)

func open(t *testing.T, path string) *secret.FileKeeper {
	t.Helper()
	k, err := secret.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, k *secret.FileKeeper, plaintext, context string) []byte {
	t.Helper()
	sealed, err := k.Seal([]byte(plaintext), []byte(context))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSeal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	k := open(t, path)
	for _, plaintext := range []string{"", "x", "\x00\xff", strings.Repeat("long", 1<<16)} {
		for _, context := range []string{"", "env/env_1"} {
			sealed := seal(t, k, plaintext, context)
			if bytes.Equal(sealed, seal(t, k, plaintext, context)) {
				t.Error("two seals are the same")
			}
			got, err := open(t, path).Open(sealed, []byte(context)) // after a restart
			if err != nil || string(got) != plaintext {
				t.Errorf("%.9q came back as %.9q, %v", plaintext, got, err)
			}
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	k := open(t, filepath.Join(t.TempDir(), "key"))
	sealed := seal(t, k, "value", "env_1")
	refused := func(sealed []byte, context string) {
		t.Helper()
		plaintext, err := k.Open(sealed, []byte(context))
		if plaintext != nil || !errors.Is(err, secret.ErrSealed) && !errors.Is(err, secret.ErrKeyMissing) {
			t.Errorf("opened to %q, %v", plaintext, err)
		}
	}
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			refused(changed, "env_1")
		}
		refused(sealed[:i], "env_1")
		refused(sealed[i+1:], "env_1")
	}
	refused(append(sealed, 0), "env_1")
	refused(sealed, "env_2")
	refused(sealed, "")
	refused(nil, "env_1")
	if _, err := k.Open(sealed, []byte("env_1")); err != nil {
		t.Error(err)
	}
}

func TestAddKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	before := open(t, path)
	old := seal(t, before, "value", "c")
	if err := secret.AddKey(path); err != nil {
		t.Fatal(err)
	}
	after := open(t, path)
	if got, err := after.Open(old, []byte("c")); err != nil || string(got) != "value" {
		t.Errorf("with the key added, the old value is %q, %v", got, err)
	}
	fresh := seal(t, after, "value", "c")
	if _, err := before.Open(fresh, []byte("c")); !errors.Is(err, secret.ErrKeyMissing) {
		t.Errorf("the new key does not seal: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, path).Open(old, []byte("c")); !errors.Is(err, secret.ErrKeyMissing) {
		t.Errorf("with another key file: %v", err)
	}
}

func TestOpenFileMakesOneFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	sealed := make(chan []byte, 8)
	var wg sync.WaitGroup
	for range cap(sealed) {
		wg.Go(func() {
			k, err := secret.OpenFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			s, err := k.Seal([]byte("value"), nil)
			if err != nil {
				t.Error(err)
			}
			sealed <- s
		})
	}
	wg.Wait()
	close(sealed)
	k := open(t, path)
	for s := range sealed {
		if _, err := k.Open(s, nil); err != nil {
			t.Error(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestOpenFileRefuses(t *testing.T) {
	const key = "00c0ffee AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"readable by others": {key, 0o644},
		"writable by group":  {key, 0o620},
		"empty":              {"", 0o600},
		"comment only":       {"# nothing\n", 0o600},
		"cut":                {key[:30], 0o600},
		"cut at the end":     {key[:len(key)-1], 0o600},
		"short key":          {"00c0ffee AAAA\n", 0o600},
		"short id":           {"c0ffee" + key[8:], 0o600},
		"not hex":            {"coffee00" + key[8:], 0o600},
		"the same id twice":  {key + key, 0o600},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			if _, err := secret.OpenFile(path); !errors.Is(err, secret.ErrKeyFile) || lateen.CodeOf(err) != lateen.Conflict {
				t.Errorf("got %v", err)
			} else if e, _ := errors.AsType[*lateen.Error](err); c.mode != 0o600 && !strings.Contains(e.Hint, "`chmod 600 "+path+"`") {
				t.Errorf("the hint %q has no command", e.Hint)
			} else if strings.Contains(err.Error(), "AAAA") {
				t.Errorf("the error contains the key: %v", err)
			}
			if err := secret.AddKey(path); !errors.Is(err, secret.ErrKeyFile) {
				t.Errorf("adding a key: %v", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != c.text {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
	if _, err := secret.OpenFile(t.TempDir()); !errors.Is(err, secret.ErrKeyFile) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := secret.OpenFile(filepath.Join(t.TempDir(), "none", "key")); err == nil {
		t.Error("opened in a missing directory")
	}
}

func FuzzOpen(f *testing.F) {
	k, err := secret.OpenFile(filepath.Join(f.TempDir(), "key"))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := k.Seal([]byte("value"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed[:5])
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if plaintext, err := k.Open(b, nil); err == nil && !bytes.Equal(b, sealed) {
			t.Errorf("%x opened to %q", b, plaintext)
		}
	})
}
