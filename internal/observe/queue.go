package observe

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/share"
)

// Limits of the queue.
const (
	maxQueued      = 32 << 10 // records and lines, shared by the projects
	maxQueuedBytes = 64 << 20 // shared likewise
	overhead       = 300      // approximate bytes of a record or line besides its text
)

// queue collects entries until they are written, grouped by request.
type queue struct {
	nonEmpty chan struct{} // has a value if the queue is not empty
	large    chan struct{} // has a value if the queue should be written without a pause

	mu       sync.Mutex // guards the fields below
	batch    batch
	capacity share.Capacity[lateen.ProjectID]
	counts   Stats
	closed   bool
}

// newCapacity returns the capacity of an empty queue, which projects divide.
func newCapacity() share.Capacity[lateen.ProjectID] {
	return share.NewCapacity[lateen.ProjectID](maxQueued, maxQueuedBytes)
}

// batch is the content of one transaction.
type batch struct {
	groups []*group // in the order of their first parts
	index  map[groupKey]*group
	held   int // number of records and lines in memory
	bytes  int // approximate size of them

	records, lines int // arrived ones, including truncated lines
}

// groupKey identifies a group: all parts of a request or, outside any request, the
// lines of an instance.
type groupKey struct {
	request    lateen.RequestID
	deployment lateen.DeploymentID
	instance   lateen.InstanceID
	function   string
}

// group is the queued parts of one request.
type group struct {
	record    *lateen.Record // nil: not arrived yet
	text      []byte         // the record as JSON
	lines     []lateen.LogLine
	seen      int // arrived lines, including truncated ones
	seenBytes int
}

func newQueue() queue {
	return queue{nonEmpty: make(chan struct{}, 1), large: make(chan struct{}, 1), batch: newBatch(), capacity: newCapacity()}
}

func newBatch() batch { return batch{index: map[groupKey]*group{}} }

func (q *queue) addRecord(r *lateen.Record, text []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.Records++
	if !q.takeLocked(r.Project, len(text)) {
		q.counts.DroppedRecords++
		return
	}
	g := q.batch.group(groupKey{request: r.ID})
	g.record, g.text = r, text
	q.batch.records++
	q.addedLocked(len(text))
}

func (q *queue) addLine(line lateen.LogLine) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.Lines++
	if q.closed {
		q.counts.DroppedLines++
		return
	}
	key := groupKey{request: line.Request}
	if line.Request == "" {
		key = groupKey{deployment: line.Deployment, instance: line.Instance, function: line.Function}
	}
	g := q.batch.index[key]
	kept := g == nil || within(g.seen+1, g.seenBytes+len(line.Text)) // no request may fill the queue
	if kept && !q.takeLocked(line.Project, len(line.Text)) {
		q.counts.DroppedLines++
		return
	}
	g = q.batch.group(key)
	g.seen++
	g.seenBytes += len(line.Text)
	q.batch.lines++
	if kept {
		g.lines = append(g.lines, line)
		q.addedLocked(len(line.Text))
	}
}

// within reports whether a request may have a number of lines and bytes.
func within(lines, bytes int) bool { return lines <= MaxRequestLines && bytes <= MaxRequestBytes }

func (b *batch) group(key groupKey) *group {
	g := b.index[key]
	if g == nil {
		g = &group{}
		b.index[key] = g
		b.groups = append(b.groups, g)
	}
	return g
}

// takeLocked reserves capacity for a record or line of a project, if its share
// allows.
func (q *queue) takeLocked(project lateen.ProjectID, bytes int) bool {
	return !q.closed && q.capacity.Take(int64(bytes+overhead), project)
}

func (q *queue) addedLocked(bytes int) {
	q.batch.held++
	q.batch.bytes += bytes + overhead
	signal(q.nonEmpty)
	if q.batch.held > maxQueued/4 || q.batch.bytes > maxQueuedBytes/4 {
		signal(q.large)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (q *queue) take() batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.batch
	q.batch, q.capacity = newBatch(), newCapacity()
	select {
	case <-q.large:
	default:
	}
	return b
}

// dropped counts a batch that could not be written.
func (q *queue) dropped(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.DroppedRecords += uint64(b.records)
	q.counts.DroppedLines += uint64(b.lines)
}

// close makes the queue refuse further entries.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.counts
	s.Queued, s.QueuedBytes = q.batch.held, q.batch.bytes
	return s
}

// truncate returns at most n bytes of text, without a partial character. The result does
// not keep a longer text in memory.
func truncate(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return strings.Clone(text[:n])
}
