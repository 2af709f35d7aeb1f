package autoscale

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// historySize is the number of bytes of an encoded history.
const historySize = 8 + 8 + bins*(2+2+1+1)

// AppendBinary appends the encoded history, as it is stored across restarts: numbers
// of fixed size in the order of the fields, little-endian. It never fails.
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

// UnmarshalBinary decodes the result of AppendBinary. If the data cannot be a
// history, it returns an error and leaves h unchanged.
func (h *History) UnmarshalBinary(b []byte) error {
	if len(b) != historySize {
		return errors.New("wrong size of a history")
	}
	var read History
	read.last = int64(binary.LittleEndian.Uint64(b)) //nolint:gosec // the conversion keeps the bits
	read.uses = math.Float64frombits(binary.LittleEndian.Uint64(b[8:]))
	if !(read.uses >= 0) || math.IsInf(read.uses, 1) {
		return errors.New("invalid count in a history")
	}
	for i := range bins {
		bin := b[16+6*i:]
		read.reached[i], read.ended[i] = binary.LittleEndian.Uint16(bin), binary.LittleEndian.Uint16(bin[2:])
		read.low[i], read.high[i] = bin[4], bin[5]
		if read.ended[i] > read.reached[i] || read.low[i] > read.high[i] {
			return errors.New("inconsistent bin in a history")
		}
	}
	*h = read
	return nil
}
