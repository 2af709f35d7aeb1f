package edge

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/cache"
	"github.com/lateen-dev/lateen/internal/edge/call"
	"github.com/lateen-dev/lateen/internal/edge/coding"
	"github.com/lateen-dev/lateen/internal/edge/header"
)

// respond answers with an output's own response: with status and header h, completed
// by the decision and the platform, and with body, which it flushes after each read
// unless h has a Content-Length. It takes over h, and closes body if that is an
// [io.Closer]; nil is no body. The kernel sends a body that is an [io.LimitedReader]
// of an [os.File] or embeds one; a [coding.Page] has compressed forms of its own.
// record.Cache becomes x-vercel-cache.
func (x *exchange) respond(status int, h http.Header, body io.Reader) {
	x.finish(x.send(status, h, body))
}

// send implements respond, without the call of finish.
func (x *exchange) send(status int, h http.Header, body io.Reader) error {
	if c, ok := body.(io.Closer); ok {
		defer c.Close()
	}
	status = x.complete(status, h)
	applied := x.negotiate(status, h, body)
	if page, ok := body.(*coding.Page); ok {
		body, applied = page.In(applied, x.edge.codings, h), ""
	}
	x.head(status, h)
	if body == nil || body == http.NoBody || x.req.Method == http.MethodHead || !header.AllowsBody(status) {
		return nil
	}
	if applied == "" {
		if part, ok := filePart(body); ok {
			return x.w.sendN(part.R, part.N)
		}
		if whole, ok := body.(*bytes.Reader); ok {
			_, err := whole.WriteTo(x.w)
			return err
		}
	}
	_, sized := h["Content-Length"]
	return x.edge.codings.Copy(x.w, body, applied, !sized)
}

// negotiate chooses the coding of a response, sets it in the header h and returns it.
// A response that has to be compressed takes an encoder; past the share of the team it
// is sent uncompressed. A file is sent in the form that [exchange.serveStatic] chose.
func (x *exchange) negotiate(status int, h http.Header, body io.Reader) string {
	if x.record.Kind == kindStatic {
		if x.codings {
			coding.Vary(h)
		}
		return ""
	}
	chosen := coding.Negotiate(status, x.req.Header, h)
	_, cached := body.(*coding.Page)
	if encodes := !cached && body != nil && x.req.Method != http.MethodHead; chosen != "" && encodes && !x.takeEncoder() {
		return ""
	}
	coding.Apply(h, chosen)
	return chosen
}

// takeEncoder reserves an encoder for the rest of the exchange.
func (x *exchange) takeEncoder() bool {
	if !x.encodes && x.Site != nil {
		x.encodes = x.edge.encoders.Take(1, string(x.Site.Team), string(x.Site.Project))
		return x.encodes
	}
	return true
}

// filePart returns body as a part of a file; ok is false if it is not one.
func filePart(body io.Reader) (*io.LimitedReader, bool) {
	part, ok := body.(*io.LimitedReader)
	if b, embeds := body.(*fileBody); embeds {
		part, ok = &b.LimitedReader, true
	}
	if !ok {
		return nil, false
	}
	_, ok = part.R.(*os.File)
	return part, ok
}

// complete applies the decision's and the platform's rules to an output's own
// header h and returns the status to send.
func (x *exchange) complete(status int, h http.Header) int {
	header.CleanResponse(h)
	if d := x.decision; d != nil {
		length := h["Content-Length"]
		d.Merge(h)
		if h["Content-Length"] = length; length == nil { // a route cannot set the length
			delete(h, "Content-Length")
		}
		if d.Status >= http.StatusOK { // an interim status is no response
			status = d.Status
		}
	}
	header.DropHopByHop(h)
	x.platformHeader(h)
	return status
}

// head sends the header of the response.
func (x *exchange) head(status int, h http.Header) {
	out := x.w.Header()
	maps.Copy(out, h) // h may be out itself
	if _, typed := out["Content-Type"]; !typed {
		out["Content-Type"] = nil // keeps net/http from guessing a type that user code did not set
	}
	if status < http.StatusOK || status == http.StatusNoContent {
		delete(out, "Content-Length") // RFC 9110 §8.6
	}
	x.status = status
	x.record.FirstByte = x.edge.o.Now().Sub(x.began)
	x.w.WriteHeader(status)
	x.learn(status, h)
}

// finish notes the result of sending the body: complete, cut short by its source, or
// failed because of the client.
func (x *exchange) finish(err error) {
	x.done = err == nil
	if x.done || x.req.Context().Err() != nil {
		return
	}
	if broken, ok := errors.AsType[*lateen.Error](err); ok {
		x.record.Error = broken.Reason
	} else {
		x.clientGone = true
	}
	x.edge.o.Log.DebugContext(x.req.Context(), "response cut short", "request_id", string(x.ID), "err", err)
}

// platformHeader adds the platform's fields to the header of a response.
func (x *exchange) platformHeader(h http.Header) {
	v := make(header.Values, 0, 4)
	h["Server"] = serverName
	h["X-Vercel-Id"] = v.Of(x.edge.o.Region + "::" + string(x.ID))
	if x.record.Cache != "" {
		h["X-Vercel-Cache"] = v.Of(x.record.Cache)
	}
	if x.problem != nil && x.record.Error != "" {
		h["X-Vercel-Error"] = v.Of(x.problem.Code)
	}
	if cookies := h["Set-Cookie"]; cookies != nil {
		h["Set-Cookie"] = header.HostOnly(cookies, x.edge.o.Domain)
	}
	h["Cache-Control"] = cache.ClientControl(h["Cache-Control"])
	if inv := answering(&x.record); inv != nil && inv.Start != "" && x.Site.ShowsStart {
		h["X-Lateen-Start"] = v.Of(startText(inv))
	}
	if x.Client.Proto == "https" && h["Strict-Transport-Security"] == nil {
		h["Strict-Transport-Security"] = strictTransport
	}
	if hidden(&x.Call, x.edge.o.Domain) && h["X-Robots-Tag"] == nil {
		h["X-Robots-Tag"] = noIndex
	}
}

// answering returns the invocation of the function that answered; nil if none did.
func answering(r *lateen.Record) *lateen.Invocation {
	if r.Kind == kindMiddleware {
		return r.Middleware
	}
	return r.Invocation
}

// startText returns the kind of start of inv and the time of each phase before it, such
// as blank;claim=0.1ms;load=1.9ms.
func startText(inv *lateen.Invocation) string {
	b := append(make([]byte, 0, 48), inv.Start...)
	for _, phase := range [...]struct {
		name string
		took time.Duration
	}{{"queue", inv.Queue}, {"claim", inv.Claim}, {"load", inv.Load}} {
		if phase.took < 50*time.Microsecond { // it would round to 0.0
			continue
		}
		b = append(append(append(b, ';'), phase.name...), '=')
		b = strconv.AppendFloat(b, phase.took.Seconds()*1000, 'f', 1, 64)
		b = append(b, "ms"...)
	}
	return string(b)
}

// Values that many responses share; they are never modified.
//
//nolint:gochecknoglobals // constants in all but name
var (
	serverName      = []string{"Lateen"}
	strictTransport = []string{"max-age=63072000"}
	noIndex         = []string{"noindex"}
)

// hidden reports whether search engines should not index the URL of k: that of a preview,
// or of the own host of a deployment, which becomes outdated. A custom domain of a
// preview is indexed, because its owner chose a public name.
func hidden(k *call.Call, domain string) bool {
	return k.Site != nil && (k.Client.Hostname == k.Site.Host ||
		k.Site.Target != "production" && strings.HasSuffix(k.Client.Hostname, "."+domain))
}
