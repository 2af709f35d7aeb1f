package cache

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lateen-dev/lateen/internal/atomicfile"
)

// Mark is the state of one invalidated name, a tag or a group. Stale, Expired and
// Expiring are readings of the cache's clock, ExpiresAt is in Unix nanoseconds; 0 is never.
type Mark struct {
	Stale     int64 `json:"s,omitempty"` // entries started before are stale
	Expired   int64 `json:"e,omitempty"` // entries started before are expired
	Expiring  int64 `json:"b,omitempty"` // entries started before expire at ExpiresAt
	ExpiresAt int64 `json:"d,omitempty"`
}

// add applies m, with the reason why, to an entry with that start.
func (f *freshness) add(m Mark, started int64, why Reason) {
	if started < m.Stale && f.stale == "" {
		f.stale = why
	}
	if started < m.Expired {
		f.expireAt(math.MinInt64, why)
	}
	if started < m.Expiring {
		f.expireAt(m.ExpiresAt, why)
	}
}

// invalidated is m after an invalidation at a reading of the cache's clock: entries
// started before are stale, and expire once grace has passed after now; a negative
// grace never passes.
func (m Mark) invalidated(at int64, now time.Time, grace time.Duration) Mark {
	if m.ExpiresAt != 0 && now.UnixNano() >= m.ExpiresAt { // the expiry has passed
		m.Expired, m.Expiring, m.ExpiresAt = max(m.Expired, m.Expiring), 0, 0
	}
	m.Stale = max(m.Stale, at)
	switch expireAt := now.UnixNano() + int64(grace); {
	case grace < 0:
	case grace == 0:
		m.Expired = max(m.Expired, at)
	case m.ExpiresAt == 0:
		m.Expiring, m.ExpiresAt = at, expireAt
	default: // one expiry is stored; the earlier one applies to all entries
		m.Expiring, m.ExpiresAt = at, min(m.ExpiresAt, expireAt)
	}
	return m
}

// union is a mark that has at least the effects of m and n on every entry.
func (m Mark) union(n Mark) Mark {
	u := Mark{Stale: max(m.Stale, n.Stale), Expired: max(m.Expired, n.Expired), Expiring: max(m.Expiring, n.Expiring)}
	if u.ExpiresAt = min(m.ExpiresAt, n.ExpiresAt); u.ExpiresAt == 0 {
		u.ExpiresAt = max(m.ExpiresAt, n.ExpiresAt)
	}
	return u
}

// Bounds of the marks of one scope.
const (
	maxMarks  = 65536 // names
	maxName   = 128   // bytes of a name
	maxGroups = 16384 // groups
)

// maxMarked bounds the names of all scopes together.
const maxMarked = 8 * maxMarks

// anyName is the name that applies to every entry; its mark replaces the removed
// names.
const anyName = ""

// pagesName is the name that applies to every page; values of the data cache are in the
// group dataGroup instead.
const (
	pagesName = "p:"
	dataGroup = "\x00data"
	dataName  = groupPrefix + dataGroup // the name of that group
)

// marks is the table of the invalidated names of a scope. Changes are appended to
// its file, one per line: a checksum in hex and a record. The last line of a name
// counts; an incomplete line is ignored.
type marks struct {
	path string
	// version grows with every change and validates a cached freshness.
	version atomic.Uint64
	latest  atomic.Int64 // the last invalidation of a tag, a reading of the cache's clock; 0 is never

	mu    sync.Mutex // guards the fields below
	table map[string]Mark
	lines int      // number of lines in the file
	torn  bool     // the file ends with an incomplete line
	noted []string // IDs of the last invalidations that have one
	// regenerated has the last regeneration of each group by time, as a reading of the
	// cache's clock. It only keeps the members in step: the members of a removed
	// group become stale by their own time.
	regenerated map[string]int64
}

// markRecord is one line.
type markRecord struct {
	Mark

	Name string `json:"n"`
}

// openMarks reads the table at path, which may be missing. After a read error it
// returns the lines before it, with the error.
func openMarks(path string) (*marks, error) {
	m := &marks{path: path, table: map[string]Mark{}, regenerated: map[string]int64{}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			m.torn = len(line) > 0
			return m, nil
		}
		if err != nil {
			return m, fmt.Errorf("read %s: %w", path, err)
		}
		m.lines++
		if rec, ok := decodeMark(line); ok {
			m.setLocked(shortened(rec.Name), rec.Mark)
		}
	}
}

func encodeMark(b []byte, name string, mark Mark) []byte {
	rec, _ := json.Marshal(markRecord{mark, name}) // strings and numbers
	b = fmt.Appendf(b, "%08x ", crc32.ChecksumIEEE(rec))
	return append(append(b, rec...), '\n')
}

func decodeMark(line []byte) (rec markRecord, ok bool) {
	sum, text, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
	if !ok {
		return rec, false
	}
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if err != nil || uint32(want) != crc32.ChecksumIEEE(text) {
		return rec, false
	}
	return rec, json.Unmarshal(text, &rec) == nil
}

// freshness returns the effect of the table on e.
func (m *marks) freshness(e *Entry) *freshness {
	version := m.version.Load() // read before the lookup, so that a later change is noticed
	if known := e.freshness.Load(); known != nil && known.version == version {
		return known
	}
	f, started := &freshness{version: version, expires: math.MaxInt64}, e.Started.UnixNano()
	m.mu.Lock()
	f.add(m.table[anyName], started, ByTag)
	if e.Group != dataGroup {
		f.add(m.table[pagesName], started, ByTag)
	}
	for _, tag := range e.Tags {
		f.add(m.table[tagName(tag)], started, ByTag)
	}
	if e.Group != "" {
		f.add(m.table[groupName(e.Group)], started, ByGroup)
		f.add(Mark{Stale: m.regenerated[e.Group]}, started, ByGroup)
	}
	m.mu.Unlock()
	e.freshness.Store(f)
	return f
}

// freshnessWith returns the effect of the table on e, as if e also had tags.
func (m *marks) freshnessWith(e *Entry, tags []string) *freshness {
	f := *m.freshness(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tag := range tags {
		f.add(m.table[tagName(tag)], e.Started.UnixNano(), ByTag)
	}
	return &f
}

const (
	tagPrefix   = "t:"
	groupPrefix = "g:"
)

func tagNames(tags []string) []string {
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = tagName(tag)
	}
	return names
}

func tagName(tag string) string     { return shortened(tagPrefix + tag) }
func groupName(group string) string { return shortened(groupPrefix + group) }

// shortened returns the key of name in the table. User code writes tags of any
// length; a digest replaces the rest of a long one.
func shortened(name string) string {
	if len(name) <= maxName {
		return name
	}
	digest := sha256.Sum256([]byte(name))
	return name[:len(tagPrefix)] + hex.EncodeToString(digest[:])
}

// markRegenerated makes the members of group that were started before at stale.
func (m *marks) markRegenerated(group string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.regenerated {
		if len(m.regenerated) < maxGroups {
			break
		}
		delete(m.regenerated, name)
	}
	m.regenerated[group] = max(m.regenerated[group], at.UnixNano())
	m.version.Add(1)
}

// invalidate marks names as invalidated at a reading of the cache's clock, with the
// host's time now, and returns once the file has it durably. After a failure the
// table stays marked: an entry may be regenerated needlessly, but no invalidated one
// is served.
func (m *marks) invalidate(names []string, at int64, now time.Time, grace time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []byte
	for _, name := range names {
		mark := m.table[name].invalidated(at, now, grace)
		m.setLocked(name, mark)
		lines = encodeMark(lines, name, mark)
	}
	m.version.Add(1)
	if len(m.table) > maxMarks || m.torn || m.lines+len(names) > 2*len(m.table)+1024 {
		return m.compactLocked()
	}
	m.lines += len(names)
	err := appendFile(m.path, lines)
	if errors.Is(err, fs.ErrNotExist) {
		return m.compactLocked()
	}
	if err != nil {
		m.torn = true
		return fmt.Errorf("write invalidations: %w", err)
	}
	return nil
}

// maxNoted bounds the remembered IDs of invalidations, and maxID the bytes of one.
const (
	maxNoted = 64
	maxID    = 128
)

// note remembers the ID of an invalidation that has taken effect. "" is none.
func (m *marks) note(id string) {
	if id == "" || len(id) > maxID {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noted = append(m.noted, id)
	m.noted = m.noted[max(0, len(m.noted)-maxNoted):]
}

// has reports whether an ID is remembered.
func (m *marks) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return id != "" && slices.Contains(m.noted, id)
}

func (m *marks) setLocked(name string, mark Mark) {
	m.table[name] = mark
	if strings.HasPrefix(name, tagPrefix) || name == anyName || name == dataName {
		m.latest.Store(max(m.latest.Load(), mark.Stale))
	}
}

// compactLocked rewrites the file with one line per name. If there are too many
// names, it removes the older half.
func (m *marks) compactLocked() error {
	if len(m.table) > maxMarks {
		m.removeOlderHalfLocked()
	}
	var lines []byte
	for name, mark := range m.table {
		lines = encodeMark(lines, name, mark)
	}
	if err := atomicfile.Write(m.path, lines, 0o600); err != nil {
		m.torn = true
		return fmt.Errorf("write invalidations: %w", err)
	}
	m.torn, m.lines = false, len(m.table)
	return nil
}

// removeOlderHalf removes the older half of the names, durably.
func (m *marks) removeOlderHalf() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeOlderHalfLocked()
	m.version.Add(1)
	return m.compactLocked()
}

// removeOlderHalfLocked removes the older half of the names. Every entry to which
// one of them might apply counts as invalidated.
func (m *marks) removeOlderHalfLocked() {
	low := m.table[anyName]
	delete(m.table, anyName)
	names := slices.SortedFunc(maps.Keys(m.table), func(a, b string) int {
		return cmp.Compare(m.table[a].Stale, m.table[b].Stale)
	})
	for _, name := range names[:(len(names)+1)/2] {
		low = low.union(m.table[name])
		delete(m.table, name)
	}
	m.table[anyName] = low
}

// count is the number of names.
func (m *marks) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.table)
}

// appendFile appends to an existing file: a new one would be durable only with its
// directory.
func appendFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
