package toolchain

import (
	"context"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Bounds on responses of a registry, in bytes where not said otherwise.
const (
	maxPackument = 64 << 20
	maxArchive   = 256 << 20
	maxTries     = 4
	maxStall     = 30 * time.Second // time without a byte
)

// registry is a client of the read side of the npm registry protocol.
type registry struct {
	base    string // without trailing slash
	client  *http.Client
	backoff time.Duration
}

// release is one version of a package.
type release struct {
	version version
	tarball string // URL
	sha512  []byte
}

// packument is the abbreviated metadata of a package.
type packument struct {
	Versions map[string]struct {
		Dist struct {
			Tarball   string `json:"tarball"`
			Integrity string `json:"integrity"`
		} `json:"dist"`
	} `json:"versions"`
}

// newest returns the newest release of name in want.
func (r registry) newest(ctx context.Context, name string, want versionRange) (release, error) {
	var doc packument
	err := r.retry(ctx, func(ctx context.Context) error {
		body, _, err := r.get(ctx, r.base+"/"+url.PathEscape(name), "application/vnd.npm.install-v1+json")
		if err != nil {
			return err
		}
		defer body.Close()
		if err := json.NewDecoder(io.LimitReader(body, maxPackument)).Decode(&doc); err != nil {
			return fmt.Errorf("read the metadata of %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return release{}, err
	}
	var found release
	ok := false
	for text, entry := range doc.Versions {
		if v, valid := parseVersion(text); valid && want.admits(v) && (!ok || found.version.less(v)) {
			found, ok = release{version: v, tarball: entry.Dist.Tarball, sha512: parseIntegrity(entry.Dist.Integrity)}, true
		}
	}
	switch {
	case !ok:
		return release{}, ErrPackage.With("the registry has no version of %s that fits", name)
	case found.sha512 == nil:
		return release{}, ErrIntegrity.With("the registry gives no SHA-512 for %s@%s", name, found.version)
	}
	found.tarball, err = r.locate(found.tarball)
	return found, err
}

// parseIntegrity returns the SHA-512 of a subresource integrity value, or nil.
func parseIntegrity(s string) []byte {
	for field := range strings.FieldsSeq(s) {
		text, ok := strings.CutPrefix(field, "sha512-")
		if !ok {
			continue
		}
		text, _, _ = strings.Cut(text, "?")
		if sum, err := base64.StdEncoding.DecodeString(text); err == nil && len(sum) == sha512.Size {
			return sum
		}
	}
	return nil
}

// locate resolves a tarball's URL. Mirrors often serve the public registry's metadata
// unchanged, so locate replaces the public registry's host with that of the mirror.
func (r registry) locate(tarball string) (string, error) {
	base, err := url.Parse(r.base + "/")
	if err != nil {
		return "", fmt.Errorf("the registry's URL: %w", err)
	}
	target, err := base.Parse(tarball)
	if err != nil {
		return "", fmt.Errorf("the tarball's URL: %w", err)
	}
	if public, _ := url.Parse(DefaultRegistry); target.Host == public.Host && base.Host != public.Host {
		return r.base + target.EscapedPath(), nil
	}
	if target.Scheme != "http" && target.Scheme != "https" {
		return "", fmt.Errorf("the tarball's URL is of no known scheme: %s", target.Scheme)
	}
	return target.String(), nil
}

// download writes the archive of a release to file and verifies it.
func (r registry) download(ctx context.Context, title string, from release, file *os.File, progress func(done, total int64)) error {
	return r.retry(ctx, func(ctx context.Context) error {
		if err := rewind(file); err != nil {
			return err
		}
		body, size, err := r.get(ctx, from.tarball, "*/*")
		if err != nil {
			return err
		}
		defer body.Close()
		sum := sha512.New()
		counter := &counter{total: size, tell: progress}
		n, err := io.Copy(io.MultiWriter(file, sum, counter), io.LimitReader(body, maxArchive+1))
		switch {
		case err != nil:
			return fmt.Errorf("download %s: %w", title, err)
		case n > maxArchive:
			return final{fmt.Errorf("download %s: it is larger than %d MiB", title, maxArchive>>20)}
		case subtle.ConstantTimeCompare(sum.Sum(nil), from.sha512) != 1:
			return ErrIntegrity.With("%s does not have the SHA-512 that the registry gives", title)
		}
		return rewindRead(file)
	})
}

func rewind(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return fmt.Errorf("empty the download: %w", err)
	}
	return rewindRead(file)
}

func rewindRead(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("rewind the download: %w", err)
	}
	return nil
}

// counter reports the number of bytes written to it.
type counter struct {
	done, total int64
	tell        func(done, total int64)
}

// Write counts the bytes of p.
func (c *counter) Write(p []byte) (int, error) {
	c.done += int64(len(p))
	c.tell(c.done, c.total)
	return len(p), nil
}

// final marks an error that another try would repeat.
type final struct{ error }

// Unwrap returns the error itself.
func (f final) Unwrap() error { return f.error }

// retry calls f until it succeeds, at most maxTries times with growing waits.
func (r registry) retry(ctx context.Context, f func(context.Context) error) error {
	var err error
	for try := range maxTries {
		if try > 0 {
			if waitErr := wait(ctx, r.backoff<<(try-1)); waitErr != nil {
				return waitErr
			}
		}
		err = f(ctx)
		if _, stop := errors.AsType[final](err); err == nil || stop {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return err
}

// wait waits between half and all of d.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d/2 + rand.N(d/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// body is the body of a response; a read fails after maxStall without a byte.
type body struct {
	io.ReadCloser

	stall  *time.Timer
	cancel context.CancelCauseFunc
}

// Read reads from the body and restarts the time of maxStall.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.stall.Reset(maxStall)
	return n, err
}

// Close ends the request.
func (b *body) Close() error {
	b.stall.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// get requests an address; size is 0 if unknown.
func (r registry) get(ctx context.Context, address, accept string) (content io.ReadCloser, size int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stall := time.AfterFunc(maxStall, func() { cancel(fmt.Errorf("no data for %v", maxStall)) })
	fail := func(err error) (io.ReadCloser, int64, error) {
		stall.Stop()
		cancel(nil)
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fail(final{fmt.Errorf("request the registry: %w", err)})
	}
	req.Header.Set("Accept", accept)
	resp, err := r.client.Do(req)
	if err != nil {
		return fail(ErrOffline.With("the package registry at %s cannot be reached", req.URL.Host).Because(err))
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return fail(statusError(resp.StatusCode, address))
	}
	return &body{ReadCloser: resp.Body, stall: stall, cancel: cancel}, max(resp.ContentLength, 0), nil
}

// statusError returns the error of a response with a status other than 200.
func statusError(status int, address string) error {
	switch {
	case status == http.StatusNotFound:
		return final{ErrPackage.With("the registry has nothing at %s", address)}
	case status == http.StatusTooManyRequests || status >= http.StatusInternalServerError:
		return ErrOffline.With("the package registry answered %d to %s", status, address).WithHint("try again later")
	default:
		return final{ErrOffline.With("the package registry answered %d to %s", status, address)}
	}
}
