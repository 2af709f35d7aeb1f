package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size in bytes. Its text has a binary unit: 512KiB, 100MiB, 2GiB.
type Bytes int64 //nolint:recvcheck // UnmarshalText alone writes to it

// Portion is a size, or a percentage of a size that is not known yet. Its text is
// that of [Bytes], or a percentage such as 50%.
type Portion struct {
	Percent int64 // percentage, 1 to 100; 0 selects Bytes
	Bytes   Bytes
}

// Of returns the portion of a whole, in bytes.
func (p Portion) Of(whole int64) int64 {
	if p.Percent == 0 {
		return int64(p.Bytes)
	}
	return whole / 100 * p.Percent
}

type (
	text   struct{ p *string }
	choice struct {
		p  *string
		of []string
	}
	count     struct{ p *int }
	mebibytes struct{ p *int } // a number of MiB, or a size
	toggle    struct{ p *bool }
	duration  struct{ p *time.Duration }
	size      struct{ p *Bytes }
	portion   struct{ p *Portion }
	prefixes  struct{ p *[]netip.Prefix }
	ports     struct{ p *[]uint16 }
)

func (v text) String() string      { return *v.p }
func (v text) Set(s string) error  { *v.p = s; return nil }
func (v text) Type() string        { return "text" }
func (v choice) String() string    { return *v.p }
func (v choice) Type() string      { return strings.Join(v.of, "|") }
func (v count) String() string     { return strconv.Itoa(*v.p) }
func (v count) Type() string       { return "number" }
func (v mebibytes) String() string { return strconv.Itoa(*v.p) }
func (v mebibytes) Type() string   { return "number" }
func (v toggle) String() string    { return strconv.FormatBool(*v.p) }
func (v toggle) Type() string      { return "bool" }
func (v toggle) IsBoolFlag() bool  { return true }
func (v duration) Type() string    { return "duration" }
func (v size) String() string      { return v.p.String() }
func (v size) Set(s string) error  { return v.p.UnmarshalText([]byte(s)) }
func (v size) Type() string        { return "size" }
func (v portion) Type() string     { return "size|percent" }
func (v prefixes) Type() string    { return "cidrs" }
func (v ports) Type() string       { return "ports" }

const day = 24 * time.Hour

// String returns whole days (30d) if the duration is a multiple of a day.
func (v duration) String() string {
	if d := *v.p; d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return v.p.String()
}

func (v duration) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 15)
		d = time.Duration(n) * day //nolint:gosec // 15 bits
	}
	if err != nil || d < 0 {
		return fmt.Errorf("it must be a duration of 0 or more: 90s, 5m, 1h30m, 30d")
	}
	*v.p = d
	return nil
}

func (v portion) String() string {
	if v.p.Percent != 0 {
		return strconv.FormatInt(v.p.Percent, 10) + "%"
	}
	return v.p.Bytes.String()
}

func (v portion) Set(s string) error {
	digits, percent := strings.CutSuffix(s, "%")
	if !percent {
		var b Bytes
		if err := b.UnmarshalText([]byte(s)); err != nil {
			return fmt.Errorf("%q is neither a size like 20GiB nor a percentage from 1%% to 100%%", s)
		}
		*v.p = Portion{Bytes: b}
		return nil
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 100 {
		return fmt.Errorf("%q is neither a size like 20GiB nor a percentage from 1%% to 100%%", s)
	}
	*v.p = Portion{Percent: n}
	return nil
}

func (v toggle) Set(s string) error { return assign(v.p, s, strconv.ParseBool) }

func (v choice) Set(s string) error {
	if s == "warning" { // name of this level in the logs of functions
		s = "warn"
	}
	if !slices.Contains(v.of, s) {
		return fmt.Errorf("it must be one of %s", strings.Join(v.of, ", "))
	}
	*v.p = s
	return nil
}

func (v count) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return fmt.Errorf("it must be a whole number of 0 or more")
	}
	*v.p = n
	return nil
}

func (v mebibytes) Set(s string) error {
	const mebibyte = 1 << 20
	var b Bytes
	if err := b.UnmarshalText([]byte(s)); err == nil && strings.HasSuffix(s, "iB") && b%mebibyte == 0 {
		s = strconv.FormatInt(int64(b/mebibyte), 10)
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return fmt.Errorf("it must be a whole number of MiB, with or without the unit: 512, 512MiB, 2GiB")
	}
	*v.p = n
	return nil
}

func (v prefixes) String() string {
	parts := make([]string, len(*v.p))
	for i, p := range *v.p {
		parts[i] = p.String()
	}
	return strings.Join(parts, ",")
}

func (v prefixes) Set(s string) error {
	var list []netip.Prefix
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if addr, addrErr := netip.ParseAddr(part); addrErr == nil {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return fmt.Errorf("%q is not an address or a CIDR", part)
		}
		if ip := p.Addr(); ip.Is4In6() && p.Bits() >= 96 { // packets never have an IPv4-mapped address
			p = netip.PrefixFrom(ip.Unmap(), p.Bits()-96)
		}
		list = append(list, p)
	}
	*v.p = list
	return nil
}

func (v ports) String() string {
	parts := make([]string, len(*v.p))
	for i, port := range *v.p {
		parts[i] = strconv.Itoa(int(port))
	}
	return strings.Join(parts, ",")
}

func (v ports) Set(s string) error {
	var list []uint16
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		port, err := strconv.ParseUint(part, 10, 16)
		if err != nil || port == 0 {
			return fmt.Errorf("%q is not a port", part)
		}
		list = append(list, uint16(port))
	}
	*v.p = list
	return nil
}

func assign[T any](p *T, s string, parse func(string) (T, error)) error {
	value, err := parse(s)
	if err != nil {
		return err
	}
	*p = value
	return nil
}

var (
	_ encoding.TextUnmarshaler = (*Bytes)(nil)
	_ encoding.TextMarshaler   = Bytes(0)
)

//nolint:gochecknoglobals // a table that never changes
var units = []struct {
	suffix string
	bytes  Bytes
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// String returns b in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range units {
		if b >= u.bytes && b%u.bytes == 0 {
			return strconv.FormatInt(int64(b/u.bytes), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a whole number of bytes, or of KiB, MiB or GiB.
func (b *Bytes) UnmarshalText(raw []byte) error {
	digits, unit := string(raw), Bytes(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
			digits, unit = rest, u.bytes
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > int64((1<<62)/unit) {
		return fmt.Errorf("%q is not a size like 512KiB, 100MiB or 2GiB", raw)
	}
	*b = Bytes(n) * unit
	return nil
}
