package autoscale

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// historySize is how many bytes a history takes when it is kept.
const historySize = 8 + 8 + bins*(2+2+1+1)

// AppendBinary appends the history as it is kept across restarts: numbers of
// fixed size in the order of the fields, the least significant byte first. It
// never fails.
func (h *History) AppendBinary(b []byte) ([]byte, error) {
	b = slices.Grow(b, historySize)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.last))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(h.uses))
	for i := range bins {
		b = binary.LittleEndian.AppendUint16(b, h.reached[i])
		b = binary.LittleEndian.AppendUint16(b, h.ended[i])
		b = append(b, h.low[i], h.high[i])
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. What cannot be a history is an
// error, and then h is as before.
func (h *History) UnmarshalBinary(b []byte) error {
	if len(b) != historySize {
		return errors.New("a history of another size")
	}
	var read History
	read.last = int64(binary.LittleEndian.Uint64(b)) //nolint:gosec // bits are bits
	read.uses = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	if !(read.uses >= 0) || math.IsInf(read.uses, 1) {
		return errors.New("a history of no count")
	}
	for i := range bins {
		bin := b[16+6*i:]
		read.reached[i], read.ended[i] = binary.LittleEndian.Uint16(bin), binary.LittleEndian.Uint16(bin[2:])
		read.low[i], read.high[i] = bin[4], bin[5]
		if read.ended[i] > read.reached[i] || read.low[i] > read.high[i] {
			return errors.New("a history that cannot have been")
		}
	}
	*h = read
	return nil
}
