package local

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/engine/local/instance"
	"github.com/lateen-dev/lateen/internal/engine/local/process"
	"github.com/lateen-dev/lateen/internal/engine/local/template"
	"github.com/lateen-dev/lateen/internal/guest"
)

// Prepared describes the stored preparations of a function; see [engine.Engine].
func (e *Engine) Prepared(key lateen.FunctionKey, runtime string) *lateen.Preparation {
	r, _, err := e.runtimeFor(&lateen.Function{Runtime: runtime})
	if err != nil || !r.Warm {
		return nil
	}
	a := e.profiles.lookup(key)
	p := &lateen.Preparation{Archive: e.archives.Has(key), Template: e.templates.Has(key)}
	if !p.Archive {
		p.NoArchive = a.noArchive()
	}
	switch {
	case p.Template:
	case !guest.Forks():
		p.NoTemplate = "this machine cannot fork processes"
	case !e.templates.Enabled():
		p.NoTemplate = "templates are disabled: --templates is 0"
	default:
		p.NoTemplate = a.noTemplate()
	}
	return p
}

// noArchive returns the reason for which a function has no code cache.
func (a *functionProfile) noArchive() string {
	switch {
	case a.preparing:
		return "preparation in progress"
	case a.lastError != "":
		return a.lastError
	case a.trained:
		return "nothing to compile, or evicted"
	default:
		return "not prepared yet"
	}
}

// noTemplate returns the reason for which a function has no template.
func (a *functionProfile) noTemplate() string {
	switch {
	case a.forkable == never:
		return a.unforkable
	case a.preparing:
		return "preparation in progress"
	case a.lastError != "":
		return a.lastError
	case a.cost == 0:
		return "no start without a template has been measured yet"
	case a.cost <= template.MinCost:
		return fmt.Sprintf("a start without a template takes %v of CPU time: a template would save nothing", a.cost.Round(100*time.Microsecond))
	default:
		return "evicted, or created after the next start"
	}
}

// lookup returns a copy of the entry of a function; zero for an unknown function.
func (k *profiles) lookup(key lateen.FunctionKey) functionProfile {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.all[key]; a != nil {
		return *a
	}
	return functionProfile{}
}

// reason describes a failed preparation to the owner of the function, in one line;
// "" for nil. Errors of the host appear only in the platform's log.
func reason(err error) string {
	const most = 300 // bytes
	if err == nil {
		return ""
	}
	text := "see the platform's log"
	var why process.RefusalError
	if e, ok := errors.AsType[*lateen.Error](err); ok {
		text = e.Message
	} else if errors.As(err, &why) {
		text = string(why)
	} else if errors.Is(err, instance.ErrHangs) {
		text = instance.ErrHangs.Error()
	}
	text, _, _ = strings.Cut(text, "\n")
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}
