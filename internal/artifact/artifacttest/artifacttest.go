// Package artifacttest is the test suite of [artifact.Store] implementations.
package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/artifact"
)

// Run runs the suite. open must return a new, empty store for each test.
func Run(t *testing.T, open func(t *testing.T) artifact.Store) {
	for name, test := range map[string]func(t *testing.T, s artifact.Store){
		"returns the content put":                        returnsWhatWasPut,
		"stores the empty file":                          keepsTheEmptyFile,
		"refuses content of another digest":              refusesAnotherDigest,
		"verifies existing content":                      verifiesWhatIsThere,
		"stores nothing of a broken stream":              keepsNothingOfABrokenStream,
		"ends a put when its context ends":               endsWithItsContext,
		"does not know absent content":                   doesNotKnowTheAbsent,
		"accepts concurrent puts of the same content":    takesTheSameManyTimes,
		"accepts concurrent puts":                        takesManyAtOnce,
		"streams content larger than a buffer":           streamsLargeContent,
		"sweeps old unreferenced content":                sweepsOldAndUnwanted,
		"does not sweep content put again":               doesNotSweepWhatWasPutAgain,
		"does not sweep content being put":               doesNotSweepWhatIsBeingPut,
		"loses nothing to sweeps during puts":            losesNothingToSweeps,
		"ends a sweep when its context ends":             endsASweepWithItsContext,
		"stores values as JSON and detects damaged ones": keepsJSON,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// Sweep removes the artifacts of s that keep rejects and that were last put before a
// time.
func Sweep(ctx context.Context, s artifact.Store, keep func(lateen.Digest) bool, before time.Time) (artifact.Swept, error) {
	var unwanted []lateen.Digest
	err := s.Each(ctx, func(d lateen.Digest) error {
		if !keep(d) {
			unwanted = append(unwanted, d)
		}
		return nil
	})
	if err != nil {
		return artifact.Swept{}, err
	}
	swept, _, err := s.Sweep(ctx, unwanted, before)
	return swept, err
}

func all(lateen.Digest) bool  { return true }
func none(lateen.Digest) bool { return false }

func later() time.Time { return time.Now().Add(time.Hour) }

func put(t *testing.T, s artifact.Store, content string) lateen.Blob {
	t.Helper()
	blob, err := s.Put(t.Context(), strings.NewReader(content), "")
	if err != nil {
		t.Fatalf("put %.20q: %v", content, err)
	}
	if want := (lateen.Blob{Digest: lateen.DigestOf([]byte(content)), Size: int64(len(content))}); blob != want {
		t.Fatalf("put %.20q returned %v, want %v", content, blob, want)
	}
	return blob
}

func read(t *testing.T, s artifact.Store, d lateen.Digest) string {
	t.Helper()
	f, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(b)
}

func wantAbsent(t *testing.T, s artifact.Store, d lateen.Digest) {
	t.Helper()
	if _, err := s.Open(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open of absent content: %v, want fs.ErrNotExist", err)
	}
	if _, err := s.Size(t.Context(), d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("size of absent content: %v, want fs.ErrNotExist", err)
	}
}

func returnsWhatWasPut(t *testing.T, s artifact.Store) {
	blob := put(t, s, "hello")
	if size, err := s.Size(t.Context(), blob.Digest); err != nil || size != 5 {
		t.Errorf("size %d, %v", size, err)
	}
	if got := read(t, s, blob.Digest); got != "hello" {
		t.Errorf("content %q", got)
	}
	f, err := s.Open(t.Context(), blob.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); err != nil || string(rest) != "lo" {
		t.Errorf("after a seek: %q, %v", rest, err)
	}
	if again, err := s.Put(t.Context(), strings.NewReader("hello"), blob.Digest); err != nil || again != blob {
		t.Errorf("put again: %v, %v", again, err)
	}
}

func keepsTheEmptyFile(t *testing.T, s artifact.Store) {
	if got := read(t, s, put(t, s, "").Digest); got != "" {
		t.Errorf("content %q", got)
	}
}

func refusesAnotherDigest(t *testing.T, s artifact.Store) {
	want := lateen.DigestOf([]byte("announced"))
	if _, err := s.Put(t.Context(), strings.NewReader("sent"), want); !errors.Is(err, lateen.ErrUploadDigest) {
		t.Errorf("other content: %v, want ErrUploadDigest", err)
	}
	wantAbsent(t, s, want)
	wantAbsent(t, s, lateen.DigestOf([]byte("sent")))
	for _, malformed := range []lateen.Digest{"../../etc/passwd", "x", lateen.Digest(strings.ToUpper(string(want)))} {
		if _, err := s.Put(t.Context(), strings.NewReader("sent"), malformed); !errors.Is(err, lateen.ErrUploadDigest) {
			t.Errorf("malformed digest %q: %v, want ErrUploadDigest", malformed, err)
		}
	}
}

func verifiesWhatIsThere(t *testing.T, s artifact.Store) {
	blob := put(t, s, "original")
	if _, err := s.Put(t.Context(), strings.NewReader("forgery!"), blob.Digest); !errors.Is(err, lateen.ErrUploadDigest) {
		t.Errorf("forgery of existing content: %v, want ErrUploadDigest", err)
	}
	if got := read(t, s, blob.Digest); got != "original" {
		t.Errorf("content is now %q", got)
	}
}

func keepsNothingOfABrokenStream(t *testing.T, s artifact.Store) {
	broken := errors.New("connection reset")
	body := io.MultiReader(strings.NewReader("first half"), iotest.ErrReader(broken))
	if _, err := s.Put(t.Context(), body, ""); !errors.Is(err, broken) {
		t.Errorf("put: %v, want the reader's error", err)
	}
	wantAbsent(t, s, lateen.DigestOf([]byte("first half")))
}

func endsWithItsContext(t *testing.T, s artifact.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	endless := readerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	if _, err := s.Put(ctx, endless, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v, want context.Canceled", err)
	}
	if swept, err := Sweep(t.Context(), s, none, later()); err != nil || swept.Files != 0 {
		t.Errorf("content was stored: %v, %v", swept, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func doesNotKnowTheAbsent(t *testing.T, s artifact.Store) {
	for _, d := range []lateen.Digest{"", "tmp", "../tmp", lateen.DigestOf([]byte("never put")), lateen.Digest(strings.Repeat("/", 64))} {
		wantAbsent(t, s, d)
	}
}

func takesTheSameManyTimes(t *testing.T, s artifact.Store) {
	content := strings.Repeat("the same ", 10_000)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			var want lateen.Digest
			if i%2 == 0 {
				want = lateen.DigestOf([]byte(content))
			}
			if _, err := s.Put(t.Context(), strings.NewReader(content), want); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	if got := read(t, s, lateen.DigestOf([]byte(content))); got != content {
		t.Errorf("content differs: %d bytes", len(got))
	}
}

func takesManyAtOnce(t *testing.T, s artifact.Store) {
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			content := fmt.Sprint("content ", i)
			if blob, err := s.Put(t.Context(), strings.NewReader(content), ""); err != nil || blob.Digest != lateen.DigestOf([]byte(content)) {
				t.Errorf("put: %v, %v", blob, err)
			}
		})
	}
	wg.Wait()
	for i := range 64 {
		content := fmt.Sprint("content ", i)
		if got := read(t, s, lateen.DigestOf([]byte(content))); got != content {
			t.Errorf("content %q, want %q", got, content)
		}
	}
}

func streamsLargeContent(t *testing.T, s artifact.Store) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<19)
	blob, err := s.Put(t.Context(), iotest.HalfReader(bytes.NewReader(content)), lateen.DigestOf(content))
	if err != nil || blob.Size != int64(len(content)) {
		t.Fatalf("put: %v, %v", blob, err)
	}
	if got := read(t, s, blob.Digest); got != string(content) {
		t.Errorf("content differs: %d bytes", len(got))
	}
}

func sweepsOldAndUnwanted(t *testing.T, s artifact.Store) {
	wanted, unwanted := put(t, s, "wanted"), put(t, s, "unwanted")
	keep := func(d lateen.Digest) bool { return d == wanted.Digest }
	if swept, err := Sweep(t.Context(), s, keep, time.Now().Add(-time.Hour)); err != nil || swept != (artifact.Swept{}) {
		t.Errorf("sweep of content older than an hour: %v, %v", swept, err)
	}
	if swept, err := Sweep(t.Context(), s, keep, later()); err != nil || swept != (artifact.Swept{Files: 1, Bytes: unwanted.Size}) {
		t.Errorf("sweep: %v, %v", swept, err)
	}
	wantAbsent(t, s, unwanted.Digest)
	if got := read(t, s, wanted.Digest); got != "wanted" {
		t.Errorf("content %q", got)
	}
	if got := read(t, s, put(t, s, "unwanted").Digest); got != "unwanted" {
		t.Errorf("put after a sweep: %q", got)
	}
}

func doesNotSweepWhatWasPutAgain(t *testing.T, s artifact.Store) {
	put(t, s, "again")
	mark := time.Now()
	<-time.After(10 * time.Millisecond) // the clocks of file systems tick in milliseconds
	blob := put(t, s, "again")
	if swept, err := Sweep(t.Context(), s, none, mark.Add(5*time.Millisecond)); err != nil || swept.Files != 0 {
		t.Errorf("sweep: %v, %v", swept, err)
	}
	if got := read(t, s, blob.Digest); got != "again" {
		t.Errorf("content %q", got)
	}
}

func doesNotSweepWhatIsBeingPut(t *testing.T, s artifact.Store) {
	blob := put(t, s, "slowly")
	sweeping := readerFunc(func(p []byte) (int, error) {
		if swept, err := Sweep(t.Context(), s, none, later()); err != nil || swept.Files != 0 {
			t.Errorf("sweep during a put: %v, %v", swept, err)
		}
		return copy(p, "slowly"), io.EOF
	})
	if _, err := s.Put(t.Context(), sweeping, blob.Digest); err != nil {
		t.Fatalf("put: %v", err)
	}
	if got := read(t, s, blob.Digest); got != "slowly" {
		t.Errorf("content %q", got)
	}
}

// losesNothingToSweeps repeatedly puts content while sweeps try to remove it, each
// limited to content older than the sweep's start.
func losesNothingToSweeps(t *testing.T, s artifact.Store) {
	ctx, stop := context.WithCancel(t.Context())
	var sweeper, putters sync.WaitGroup
	sweeper.Go(func() {
		for ctx.Err() == nil {
			if _, err := Sweep(t.Context(), s, none, time.Now().Add(-20*time.Millisecond)); err != nil {
				t.Errorf("sweep: %v", err)
			}
		}
	})
	for i := range 8 {
		putters.Go(func() {
			content := fmt.Sprint("content ", i%4)
			for range 50 {
				began := time.Now()
				blob, err := s.Put(t.Context(), strings.NewReader(content), lateen.DigestOf([]byte(content)))
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
				_, err = s.Size(t.Context(), blob.Digest)
				if err != nil && time.Since(began) < 20*time.Millisecond {
					t.Errorf("lost after %v: %v", time.Since(began), err)
				}
			}
		})
	}
	putters.Wait()
	stop()
	sweeper.Wait()
}

func endsASweepWithItsContext(t *testing.T, s artifact.Store) {
	blob := put(t, s, "kept")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sweep(ctx, s, none, later()); !errors.Is(err, context.Canceled) {
		t.Errorf("sweep: %v, want context.Canceled", err)
	}
	if got := read(t, s, blob.Digest); got != "kept" {
		t.Errorf("content %q", got)
	}
}

func keepsJSON(t *testing.T, s artifact.Store) {
	tree := &lateen.Tree{Entries: []lateen.TreeEntry{{Path: "a", Digest: lateen.DigestOf(nil)}, {Path: "b", Link: "a"}}}
	d, err := artifact.WriteJSON(t.Context(), s, tree)
	if err != nil {
		t.Fatal(err)
	}
	got, err := artifact.ReadJSON[lateen.Tree](t.Context(), s, d)
	if err != nil || !slices.Equal(got.Entries, tree.Entries) {
		t.Errorf("read %v, %v", got, err)
	}
	if _, err := artifact.ReadJSON[lateen.Tree](t.Context(), s, lateen.DigestOf([]byte("absent"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want fs.ErrNotExist", err)
	}
	if _, err := artifact.ReadJSON[lateen.Tree](t.Context(), s, put(t, s, "not JSON").Digest); err == nil {
		t.Error("text was read as JSON")
	}
	if swept, err := Sweep(t.Context(), s, all, later()); err != nil || swept.Files != 0 {
		t.Errorf("sweep that keeps all: %v, %v", swept, err)
	}
}
