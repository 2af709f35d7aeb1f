package local

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/guest"
)

// Prepared says what makes starts of a function cheaper; see [engine.Engine].
func (e *Engine) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	r, _, err := e.runtimeFor(&lateen.Function{Runtime: runtime})
	if err != nil || !r.warm {
		return nil
	}
	a := e.known.look(key)
	p := &lateen.Preparation{Archive: e.archives.Has(key), Template: a.template != nil}
	if !p.Archive {
		p.NoArchive = a.noArchive()
	}
	switch {
	case p.Template:
	case !guest.Forks():
		p.NoTemplate = "this machine cannot fork processes"
	case e.templates.limit == 0:
		p.NoTemplate = "there are no templates: --templates is 0"
	default:
		p.NoTemplate = a.noTemplate()
	}
	return p
}

// noArchive says why a function has none.
func (a *acquaintance) noArchive() string {
	switch {
	case a.busy:
		return "it is being prepared"
	case a.trouble != "":
		return a.trouble
	case a.refined:
		return "there was nothing to compile, or others took its place"
	default:
		return "it was not prepared yet"
	}
}

// noTemplate says why a function has none.
func (a *acquaintance) noTemplate() string {
	switch {
	case a.forkable == never:
		return a.why
	case a.busy:
		return "it is being prepared"
	case a.trouble != "":
		return a.trouble
	case a.cost == 0:
		return "no start without one has taken its time yet"
	case a.cost <= templateFrom:
		return fmt.Sprintf("a start without one takes %v of CPU time: it would spare nothing", a.cost.Round(100*time.Microsecond))
	default:
		return "others took its place, or its next start makes one"
	}
}

// look returns what is known of a function, nothing if it is none.
func (k *known) look(key lateen.FunctionKey) acquaintance {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.all[key]; a != nil {
		return *a
	}
	return acquaintance{}
}

// reason is what the owner of a function is told of an error that kept it from
// being prepared, in a line; "" of nil. What is the host's own is for its log.
func reason(err error) string {
	const most = 300 // bytes
	if err == nil {
		return ""
	}
	text := "the platform's log says why"
	var why refusal
	if e, ok := errors.AsType[*lateen.Error](err); ok {
		text = e.Message
	} else if errors.As(err, &why) {
		text = string(why)
	} else if errors.Is(err, errHangs) {
		text = errHangs.Error()
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
