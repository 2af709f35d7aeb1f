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

// Mark says what was invalidated under a name, a tag or a group. Stale, Expired
// and Doomed are readings of the cache's clock, Doom is Unix nanoseconds; 0 is
// never.
type Mark struct {
	Stale   int64 `json:"s,omitempty"` // what was born before is stale
	Expired int64 `json:"e,omitempty"` // what was born before is expired
	Doomed  int64 `json:"b,omitempty"` // what was born before expires at Doom
	Doom    int64 `json:"d,omitempty"`
}

// fate is what the marks of a scope, as of one version, do to an entry.
type fate struct {
	version uint64
	stale   Reason // "" if it is not
	expires int64  // Unix nanoseconds
	expired Reason // why it then does
}

// add counts what m, which is there for the reason why, does to an entry born then.
func (f *fate) add(m Mark, born int64, why Reason) {
	if born < m.Stale && f.stale == "" {
		f.stale = why
	}
	if born < m.Expired {
		f.expireAt(math.MinInt64, why)
	}
	if born < m.Doomed {
		f.expireAt(m.Doom, why)
	}
}

func (f *fate) expireAt(at int64, why Reason) {
	if at < f.expires {
		f.expires, f.expired = at, why
	}
}

// invalidated is m after an invalidation at a reading of the cache's clock: what
// was born before is stale, and expired once grace has passed from now on; a
// negative grace never passes.
func (m Mark) invalidated(at int64, now time.Time, grace time.Duration) Mark {
	if m.Doom != 0 && now.UnixNano() >= m.Doom { // the doom has come
		m.Expired, m.Doomed, m.Doom = max(m.Expired, m.Doomed), 0, 0
	}
	m.Stale = max(m.Stale, at)
	switch doom := now.UnixNano() + int64(grace); {
	case grace < 0:
	case grace == 0:
		m.Expired = max(m.Expired, at)
	case m.Doom == 0:
		m.Doomed, m.Doom = at, doom
	default: // the earlier doom is for all of them: one is remembered
		m.Doomed, m.Doom = at, min(m.Doom, doom)
	}
	return m
}

// union is a mark that is as hard on every entry as m and n are.
func (m Mark) union(n Mark) Mark {
	u := Mark{Stale: max(m.Stale, n.Stale), Expired: max(m.Expired, n.Expired), Doomed: max(m.Doomed, n.Doomed)}
	if u.Doom = min(m.Doom, n.Doom); u.Doom == 0 {
		u.Doom = max(m.Doom, n.Doom)
	}
	return u
}

// Bounds of what is remembered of one scope.
const (
	maxMarks = 65536 // names
	maxName  = 128   // bytes of one
	maxWaves = 16384 // groups
)

// maxMarked bounds the names that are remembered of all scopes together.
const maxMarked = 8 * maxMarks

// floor is the name that applies to every entry: what it says stands for the
// names that were forgotten.
const floor = ""

// marks is the table of what was invalidated in a scope, by name. It is kept in
// a file to which changes are appended, a line each: a checksum in hex and a
// record. The last line of a name counts, and a line that died half-way does not.
type marks struct {
	path string
	// version grows with every change, so that a fate can be remembered.
	version atomic.Uint64
	latest  atomic.Int64 // when a tag was last invalidated, a reading of the cache's clock; 0 is never

	mu    sync.Mutex // guards below
	table map[string]Mark
	lines int  // in the file
	torn  bool // the file does not end with a whole line
	// waves is when a group was last made anew because its time had come, a reading
	// of the cache's clock. It keeps the members in step, no more: one that is forgotten
	// grows stale by its own time.
	waves map[string]int64
}

// markRecord is a line.
type markRecord struct {
	Mark

	Name string `json:"n"`
}

// openMarks reads the table at path; there need not be one. Of a file that it
// cannot read it returns what it did, with the error.
func openMarks(path string) (*marks, error) {
	m := &marks{path: path, table: map[string]Mark{}, waves: map[string]int64{}}
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

// fate is what the table does to e.
func (m *marks) fate(e *Entry) *fate {
	version := m.version.Load() // before the look-up, so that a later change is noticed
	if known := e.fate.Load(); known != nil && known.version == version {
		return known
	}
	f, born := &fate{version: version, expires: math.MaxInt64}, e.Born.UnixNano()
	m.mu.Lock()
	f.add(m.table[floor], born, ByTag)
	for _, tag := range e.Tags {
		f.add(m.table[tagName(tag)], born, ByTag)
	}
	if e.Group != "" {
		f.add(m.table[groupName(e.Group)], born, ByGroup)
		f.add(Mark{Stale: m.waves[e.Group]}, born, ByGroup)
	}
	m.mu.Unlock()
	e.fate.Store(f)
	return f
}

const tagPrefix = "t:"

func tagName(tag string) string     { return shortened(tagPrefix + tag) }
func groupName(group string) string { return shortened("g:" + group) }

// shortened is the form in which a table has name: user code writes tags, of any
// length, and a digest stands for the rest of a long one.
func shortened(name string) string {
	if len(name) <= maxName {
		return name
	}
	digest := sha256.Sum256([]byte(name))
	return name[:len(tagPrefix)] + hex.EncodeToString(digest[:])
}

// wave makes the members of group stale that were born before at.
func (m *marks) wave(group string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.waves {
		if len(m.waves) < maxWaves {
			break
		}
		delete(m.waves, name)
	}
	m.waves[group] = max(m.waves[group], at.UnixNano())
	m.version.Add(1)
}

// invalidate marks names as invalidated at a reading of the cache's clock, which
// is now, and returns once the file says so, durably. A failure leaves the table marked: an entry too many is made
// anew, none too few.
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

func (m *marks) setLocked(name string, mark Mark) {
	m.table[name] = mark
	if strings.HasPrefix(name, tagPrefix) || name == floor {
		m.latest.Store(max(m.latest.Load(), mark.Stale))
	}
}

// compactLocked writes the file anew, with a line for each name. Of too many
// names the older half is forgotten.
func (m *marks) compactLocked() error {
	if len(m.table) > maxMarks {
		m.halveLocked()
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

// halve forgets the older half of the names, durably.
func (m *marks) halve() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.halveLocked()
	m.version.Add(1)
	return m.compactLocked()
}

// halveLocked forgets the older half of the names: every entry that one of them
// might apply to is taken for invalidated.
func (m *marks) halveLocked() {
	low := m.table[floor]
	delete(m.table, floor)
	names := slices.SortedFunc(maps.Keys(m.table), func(a, b string) int {
		return cmp.Compare(m.table[a].Stale, m.table[b].Stale)
	})
	for _, name := range names[:(len(names)+1)/2] {
		low = low.union(m.table[name])
		delete(m.table, name)
	}
	m.table[floor] = low
}

// count is how many names are remembered.
func (m *marks) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.table)
}

// appendFile appends to a file that is there: one that is new would be durable
// only with its directory.
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
