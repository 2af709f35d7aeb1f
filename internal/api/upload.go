package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

const (
	admitWithin  = 20 * time.Second
	awaitedBytes = 64 << 10 // bytes of a body, or all of it, received before it gets a place
	queued       = 1024     // requests that wait for a place
)

// admit waits for a place, from the shares of the team and the token, and returns a
// function that releases it.
func admit(r *http.Request, places *share.Places[string]) (release func(), err error) {
	p := lateen.PrincipalFrom(r.Context())
	return awaitPlace(r.Context(), places, errBusy, string(p.Team), string(p.Token))
}

// awaitPlace waits for a place in the shares of tenants, at most admitWithin. It fails
// with full if too many requests wait, or for too long.
func awaitPlace(ctx context.Context, places *share.Places[string], full error, tenants ...string) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, admitWithin, full)
	defer cancel()
	release, err = places.Take(ctx, tenants...)
	if errors.Is(err, share.ErrFull) {
		err = full
	}
	return release, err
}

// awaited returns the body of r after its first bytes have arrived, so that idle
// clients hold no place.
func awaited(r *http.Request) (io.Reader, error) {
	body := bufio.NewReaderSize(r.Body, awaitedBytes)
	if _, err := body.Peek(awaitedBytes); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return body, nil
}

// uploadReply is empty: the file is stored under the name of the request.
type uploadReply struct {
	URLs []string `json:"urls"`
}

func uploadFile(a *API, w http.ResponseWriter, r *http.Request) error {
	name := r.Header.Get("X-Now-Digest")
	if name == "" {
		name = r.Header.Get("X-Vercel-Digest")
	}
	size := r.ContentLength
	for _, header := range []string{"X-Now-Size", "X-Vercel-Size"} {
		text := r.Header.Get(header)
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || size >= 0 && n != size {
			return lateen.ErrInvalid.With("%s is %q and the body has %d bytes", header, text, size)
		}
		size = n
	}
	body, err := awaited(r)
	if err != nil {
		return bodyError(err)
	}
	release, err := admit(r, a.uploads)
	if err != nil {
		return err
	}
	defer release()
	err = a.Control.Upload(r.Context(), lateen.SHA1(name), size, body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return bodyError(err)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, uploadReply{URLs: []string{}})
	return nil
}
