package edge

import (
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/accept"
	"github.com/lateen-dev/lateen/internal/edge/header"
	"github.com/lateen-dev/lateen/internal/edge/problem"
	"github.com/lateen-dev/lateen/internal/route"
)

// serveStatic answers with the file d.Output of the manifest: complete or a range of
// it, uncompressed or in a precompressed form. The only validator is the strong entity
// tag: a deployment has no modification times that survive a rollback, so there is no
// Last-Modified and conditions on dates are ignored.
func (x *exchange) serveStatic(d *route.Decision) error {
	file, ok := x.Site.Manifest.Files[d.Output]
	if !ok {
		return lateen.ErrInternal.With("the routes lead to %s, which is not a file", d.Output)
	}
	x.record.Kind, x.record.Cache = kindStatic, "HIT"
	page := d.Status >= 400 || x.problem != nil // an error page answers any method
	whole := page || d.Status != 0              // see [header.DropConditions]
	switch method := x.req.Method; {
	case page, method == http.MethodGet, method == http.MethodHead:
	case method == http.MethodOptions:
		x.respond(http.StatusNoContent, http.Header{"Allow": {"GET, HEAD, OPTIONS"}}, nil)
		return nil
	default:
		return problem.WithField(lateen.ErrMethod, "Allow", "GET, HEAD, OPTIONS")
	}
	ranged := x.req.Header["Range"]
	if whole || x.req.Method != http.MethodGet {
		ranged = nil
	}
	blob, coding := file.Blob, ""
	if len(ranged) == 0 { // a range refers to the uncompressed file
		blob, coding = precompressed(&file, x.req.Header["Accept-Encoding"])
	}
	h := x.staticHeader(d, &file, blob, coding)
	if whole {
		return x.sendBlob(http.StatusOK, h, blob, accept.Part{Length: blob.Size})
	}
	return x.sendConditional(h, blob, ranged)
}

// sendConditional sends blob by the request's conditions and ranges.
func (x *exchange) sendConditional(h http.Header, blob lateen.Blob, ranged []string) error {
	etag := h["Etag"][0]
	in := x.req.Header
	switch {
	case in["If-Match"] != nil && !header.StrongMatch(in["If-Match"], etag):
		return problem.ErrPrecondition
	case in["If-None-Match"] != nil && header.WeakMatch(in["If-None-Match"], etag):
		delete(h, "Content-Length")
		delete(h, "Content-Type")
		delete(h, "Content-Encoding")
		x.respond(http.StatusNotModified, h, nil)
		return nil
	case len(ranged) == 0 || in["If-Range"] != nil && !header.StrongMatch(in["If-Range"], etag):
		return x.sendBlob(http.StatusOK, h, blob, accept.Part{Length: blob.Size})
	default:
		return x.sendRange(h, blob, ranged)
	}
}

func (x *exchange) sendRange(h http.Header, blob lateen.Blob, ranged []string) error {
	part, extent := accept.Range(ranged, blob.Size)
	switch extent {
	case accept.Whole:
		return x.sendBlob(http.StatusOK, h, blob, accept.Part{Length: blob.Size})
	case accept.Outside:
		return problem.WithField(problem.ErrRange, "Content-Range", "bytes */"+strconv.FormatInt(blob.Size, 10))
	default:
		h["Content-Length"] = []string{strconv.FormatInt(part.Length, 10)}
		h["Content-Range"] = []string{part.ContentRange(blob.Size)}
		return x.sendBlob(http.StatusPartialContent, h, blob, part)
	}
}

// sendBlob sends a part of blob with status and header h.
func (x *exchange) sendBlob(status int, h http.Header, blob lateen.Blob, part accept.Part) error {
	if x.req.Method == http.MethodHead || part.Length == 0 {
		x.respond(status, h, nil)
		return nil
	}
	body, err := x.edge.blobs.open(x.req.Context(), x.Site.Project, blob, part)
	if err != nil {
		return err
	}
	x.respond(status, h, body)
	return nil
}

// precompressed returns the form of file for a client that accepts these codings, and the
// name of its coding: the smallest of the forms that the client prefers.
func precompressed(file *lateen.File, accepted []string) (lateen.Blob, string) {
	if len(file.Encodings) == 0 || len(accepted) == 0 {
		return file.Blob, ""
	}
	var offers [3]string
	n := 0
	for _, coding := range [...]string{"br", "zstd", "gzip"} {
		blob, ok := file.Encodings[coding]
		if !ok {
			continue
		}
		i := n
		for ; i > 0 && file.Encodings[offers[i-1]].Size > blob.Size; i-- {
			offers[i] = offers[i-1]
		}
		offers[i] = coding
		n++
	}
	if coding := accept.Coding(accepted, offers[:n]...); coding != "" {
		return file.Encodings[coding], coding
	}
	return file.Blob, ""
}

// staticHeader returns the header of a file's own response. Fields of the routes for
// the type, the disposition and the allowed origins replace the platform's defaults.
func (x *exchange) staticHeader(d *route.Decision, file *lateen.File, blob lateen.Blob, coding string) http.Header {
	h, own := x.w.Header(), make(header.Values, 0, 6)
	h["Accept-Ranges"] = acceptRanges
	h["Content-Length"] = own.Of(strconv.FormatInt(blob.Size, 10))
	h["Etag"] = own.Of(header.Tag(blob.Digest))
	if x.codings = len(file.Encodings) > 0; x.codings {
		h["Vary"] = varyEncoding
	}
	if coding != "" {
		h["Content-Encoding"] = own.Of(coding)
	}
	if d.Header["Access-Control-Allow-Origin"] == nil {
		h["Access-Control-Allow-Origin"] = anyOrigin
	}
	if d.Header["Content-Disposition"] == nil {
		h["Content-Disposition"] = own.Of(disposition(d.Output))
	}
	if d.Header["Content-Type"] == nil {
		h["Content-Type"] = own.Of(file.ContentType)
	}
	return h
}

// Values that many responses share; they are never modified.
//
//nolint:gochecknoglobals // constants in all but name
var (
	acceptRanges = []string{"bytes"}
	anyOrigin    = []string{"*"}
	varyEncoding = []string{"Accept-Encoding"}
)

// disposition returns the Content-Disposition of the file of output: inline, with the
// file's own name (RFC 6266).
func disposition(output string) string {
	name := path.Base(output)
	ascii := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	if ascii == name {
		return `inline; filename="` + name + `"`
	}
	return `inline; filename="` + ascii + `"; filename*=UTF-8''` + url.PathEscape(name)
}
