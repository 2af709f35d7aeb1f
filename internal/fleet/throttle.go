package fleet

import (
	"slices"

	"github.com/lateen-dev/lateen"
)

// displace refuses one waiting request in favor of a new request of client: of
// the client with the most waiting requests in revisions, the last one. client then
// has no more of them than that other client. It reports whether it refused a
// request.
func (r *roster) displace(revisions []*revision, client string) bool {
	waiting, most := map[string]int{}, ""
	for _, rev := range revisions {
		for _, w := range rev.waiting {
			if waiting[w.client]++; w.client != "" && waiting[w.client] > waiting[most] {
				most = w.client
			}
		}
	}
	if most == "" || waiting[most] < waiting[client]+2 {
		return false
	}
	var from *revision
	var last int
	for _, rev := range revisions {
		for i, w := range slices.Backward(rev.waiting) {
			if w.client == most {
				if from == nil || w.since.After(from.waiting[last].since) {
					from, last = rev, i
				}
				break
			}
		}
	}
	from.waiting[last].ready <- granted{err: lateen.ErrFunctionThrottled.With("%d requests of this client already wait for %s", waiting[most], nameOf(revisions))}
	from.waiting = slices.Delete(from.waiting, last, last+1)
	r.leave(from)
	return true
}

// nameOf returns a description of revisions for an error message.
func nameOf(revisions []*revision) string {
	if len(revisions) == 1 {
		return revisions[0].spec.Name
	}
	return "the functions of this project"
}

// queues returns the revisions that share the bound which keeps another
// request out of rev's queue; nil means that the queue is not full.
func (r *roster) queues(rev *revision) (revisions []*revision) {
	switch project := rev.function.project; {
	case len(rev.waiting) >= r.o.Queue:
		return []*revision{rev}
	case project.waiting >= r.o.ProjectQueue:
		for _, fn := range project.functions {
			revisions = append(revisions, fn.revisions...)
		}
	}
	return revisions
}
