package learn

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

// Prepared describes the stored preparations of a function.
func (l *Learner) Prepared(key lateen.FunctionKey) *lateen.Preparation {
	a := l.profiles.lookup(key)
	p := &lateen.Preparation{Archive: l.archives.Has(key), Template: l.templates.Has(key)}
	if !p.Archive {
		p.NoArchive = a.noArchive()
	}
	switch {
	case p.Template:
	case !guest.Forks():
		p.NoTemplate = "this machine cannot fork processes"
	case !l.templates.Enabled():
		p.NoTemplate = "templates are disabled: --templates is 0"
	default:
		p.NoTemplate = a.noTemplate()
	}
	return p
}

// noArchive returns the reason for which a function has no code cache.
func (a *Profile) noArchive() string {
	switch {
	case a.Preparing:
		return "preparation in progress"
	case a.lastError != "":
		return a.lastError
	case a.Trained:
		return "nothing to compile, or evicted"
	default:
		return "not prepared yet"
	}
}

// noTemplate returns the reason for which a function has no template.
func (a *Profile) noTemplate() string {
	switch {
	case a.Forkable == Never:
		return a.Unforkable
	case a.Preparing:
		return "preparation in progress"
	case a.lastError != "":
		return a.lastError
	case a.Cost == 0:
		return "no start without a template has been measured yet"
	case a.Cost <= template.MinCost:
		return fmt.Sprintf("a start without a template takes %v of CPU time: a template would save nothing", a.Cost.Round(100*time.Microsecond))
	default:
		return "evicted, or created after the next start"
	}
}

// lookup returns a copy of the entry of a function; zero for an unknown function.
func (k *profiles) lookup(key lateen.FunctionKey) Profile {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a := k.all[key]; a != nil {
		return *a
	}
	return Profile{}
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
