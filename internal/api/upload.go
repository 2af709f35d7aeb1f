package api

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/lateen-dev/lateen"
)

const admitWithin = 20 * time.Second

// admit waits for one of the places for uploads and returns what gives it back.
func admit(r *http.Request, places chan struct{}) (release func(), err error) {
	patience := time.NewTimer(admitWithin)
	defer patience.Stop()
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-patience.C:
		return nil, errBusy
	}
}

// uploadReply is empty: the file is there under the name it was sent with.
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
	release, err := admit(r, a.uploads)
	if err != nil {
		return err
	}
	defer release()
	err = a.Control.Upload(r.Context(), lateen.SHA1(name), size, r.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return bodyError(err)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, uploadReply{URLs: []string{}})
	return nil
}
