package cache

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/lateen-dev/lateen"
)

// An entry is one file: first the body, so that the kernel can send it from the
// file's start, then a record in JSON, then a trailer of fixed size. A truncated or
// foreign file has no valid trailer.
const (
	trailerMagic = "ltn\x01"
	trailerSize  = 4 + 4 + 4 // length of the record, its CRC-32C, magic
	maxRecord    = 1 << 20
	firstRead    = 4 << 10 // covers nearly every record
)

var errDamaged = errors.New("the file of the cache entry is damaged")

// record is the metadata of an entry in its file.
type record struct {
	Key       string        `json:"key"`
	Status    int           `json:"status"`
	Header    headerText    `json:"header"`
	Tags      []string      `json:"tags,omitempty"`
	Group     string        `json:"group,omitempty"`
	Started   int64         `json:"born"` // Unix nanoseconds
	Completed int64         `json:"kept"`
	Fresh     time.Duration `json:"fresh"`
	Usable    time.Duration `json:"usable,omitempty"`
	Size      int64         `json:"size"`
	Digest    lateen.Digest `json:"digest"`
}

// headerText is a header whose values need not be valid UTF-8.
type headerText map[string][][]byte

func textOf(h http.Header) headerText {
	t := make(headerText, len(h))
	for name, values := range h {
		for _, v := range values {
			t[name] = append(t[name], []byte(v))
		}
	}
	return t
}

func (t headerText) header() http.Header {
	h := make(http.Header, len(t))
	for name, values := range t {
		for _, v := range values {
			h[name] = append(h[name], string(v))
		}
	}
	return h
}

// writeTrailer completes the file of e, whose body has been written to w, and
// returns the number of bytes that it wrote.
func writeTrailer(w io.Writer, key Key, e *Entry) (int64, error) {
	rec, err := json.Marshal(record{
		Key: key.String(), Status: e.Status, Header: textOf(e.Header), Tags: e.Tags, Group: e.Group,
		Started: e.Started.UnixNano(), Completed: e.Completed.UnixNano(), Fresh: e.Fresh, Usable: e.Usable, Size: e.Size, Digest: e.Digest,
	})
	if err != nil {
		return 0, fmt.Errorf("encode entry: %w", err)
	}
	if len(rec) > maxRecord {
		return 0, fmt.Errorf("encode entry: the record has %d bytes, more than the limit", len(rec))
	}
	size := len(rec)
	rec = binary.BigEndian.AppendUint32(rec, uint32(size)) //nolint:gosec // at most maxRecord
	rec = binary.BigEndian.AppendUint32(rec, crc32.Checksum(rec[:size], castagnoli()))
	rec = append(rec, trailerMagic...)
	n, err := w.Write(rec)
	return int64(n), err
}

// readEntry reads the entry of key from f, which is at its start. A body of at most
// memory bytes is read, and the caller closes f; otherwise the entry owns f. The
// error is [errDamaged] for a damaged file or another key's entry.
func readEntry(f *os.File, key Key, memory int64) (e *Entry, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	rec, err := readRecord(f, info.Size())
	if err != nil {
		return nil, err
	}
	if rec.Key != key.String() {
		return nil, errDamaged
	}
	e = &Entry{
		Status: rec.Status, Header: rec.Header.header(), Tags: rec.Tags, Group: rec.Group,
		Started: time.Unix(0, rec.Started), Completed: time.Unix(0, rec.Completed), Fresh: rec.Fresh, Usable: rec.Usable, Digest: rec.Digest,
	}
	if rec.Size > memory {
		e.SetFile(f, rec.Size)
		return e, nil
	}
	body := make([]byte, rec.Size)
	if _, err := f.ReadAt(body, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if lateen.DigestOf(body) != rec.Digest {
		return nil, errDamaged
	}
	e.SetBody(body)
	return e, nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// readRecord reads the record of a file of size bytes.
func readRecord(f io.ReaderAt, size int64) (*record, error) {
	end := make([]byte, min(size, firstRead))
	if len(end) < trailerSize {
		return nil, errDamaged
	}
	if _, err := f.ReadAt(end, size-int64(len(end))); err != nil {
		return nil, err
	}
	text, trailer := end[:len(end)-trailerSize], end[len(end)-trailerSize:]
	length, sum := int64(binary.BigEndian.Uint32(trailer)), binary.BigEndian.Uint32(trailer[4:])
	if string(trailer[8:]) != trailerMagic || length > maxRecord || length > size-trailerSize {
		return nil, errDamaged
	}
	if length > int64(len(text)) {
		text = make([]byte, length)
		if _, err := f.ReadAt(text, size-trailerSize-length); err != nil {
			return nil, err
		}
	}
	text = text[int64(len(text))-length:]
	rec := new(record)
	if crc32.Checksum(text, castagnoli()) != sum || json.Unmarshal(text, rec) != nil || rec.Size != size-trailerSize-length {
		return nil, errDamaged
	}
	return rec, nil
}
