package route

import (
	"fmt"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/jsregexp"
)

// The bounds of one compiled table. Its patterns take far more memory than their
// source: a{1000} has 7 bytes and 1,000 instructions.
const (
	maxTable = 128 << 20       // approximate bytes of memory
	maxCPU   = 5 * time.Second // processor time to compile it
)

// The approximate, measured memory of the parts of a table, in bytes.
const (
	ruleBytes        = 512
	patternBytes     = 1024
	instructionBytes = 64 // an instruction of Go's engine
	stepBytes        = 64 // a step of a linear pattern
	partBytes        = 64 // a part of a template
)

// budget is the resources that one table may still take.
type budget struct {
	bytes int64
	cpu   time.Duration
	clock func() time.Duration // processor time used so far; nil: unbounded
}

// spend takes bytes, the size of a compiled part, and the processor time since
// began.
func (b *budget) spend(bytes int64, began time.Duration) error {
	if b.bytes -= bytes; b.bytes < 0 {
		return fmt.Errorf("the route table exceeds %d MiB of memory at this route; repetitions such as {1000} take most of it", maxTable>>20)
	}
	if b.clock == nil {
		return nil
	}
	if b.cpu -= b.clock() - began; b.cpu < 0 {
		return fmt.Errorf("the route table exceeds %s of processor time to compile at this route", maxCPU)
	}
	return nil
}

func (b *budget) now() time.Duration {
	if b.clock == nil {
		return 0
	}
	return b.clock()
}

// bytes is the approximate memory of rl.
func (rl *rule) bytes() int64 {
	n := ruleBytes + rl.src.bytes + rl.dest.bytes() + conditionBytes(rl.has) + conditionBytes(rl.missing)
	for i := range rl.fields {
		n += int64(len(rl.fields[i].key)) + rl.fields[i].value.bytes()
	}
	for i := range rl.transforms {
		n += ruleBytes + rl.transforms[i].key.bytes()
		for _, arg := range rl.transforms[i].args {
			n += arg.bytes()
		}
	}
	return n
}

func conditionBytes(list []condition) (n int64) {
	for i := range list {
		if n += partBytes; list[i].re != nil {
			n += list[i].re.bytes
		}
	}
	return n
}

func (t *template) bytes() (n int64) {
	for i := range t.parts {
		n += partBytes + int64(len(t.parts[i].text))
	}
	return n
}

// measure returns the number of instructions of Go's engine for root, which has a form in
// Go's syntax, and the bytes of its character classes. It does not compile: compiling
// alone may take hundreds of megabytes.
func measure(root *jsregexp.Node) (instructions, bytes int64) {
	instructions, bytes = weigh(root)
	return instructions + 2, bytes // the program begins with a fail and ends with a match
}

// weigh is [measure] of a tree. Repetitions of a class share one slice.
func weigh(n *jsregexp.Node) (instructions, bytes int64) {
	for _, sub := range n.Subs {
		i, b := weigh(sub)
		instructions, bytes = instructions+i, bytes+b
	}
	switch n.Kind {
	case jsregexp.Char:
		instructions, bytes = 1, 4
	case jsregexp.Class, jsregexp.Dot:
		instructions, bytes = 1, 4*int64(len(n.Set))
	case jsregexp.Concat:
		if len(n.Subs) == 0 {
			instructions = 1
		}
	case jsregexp.Alternate:
		instructions += int64(len(n.Subs)) - 1
	case jsregexp.Capture:
		instructions += 2
	case jsregexp.Repeat:
		instructions = repeated(n, instructions)
	default: // an assertion
		instructions = 1
	}
	return instructions, bytes
}

// repeated is the number of instructions of a repetition of an expression with once
// instructions: x{2,5} is xx(x(x(x)?)?)?, and x{2,} is xx+.
func repeated(n *jsregexp.Node, once int64) int64 {
	least, most := int64(n.Min), int64(n.Max)
	if most < 0 {
		return max(least, 1)*once + 1
	}
	return max(1, least*once+(most-least)*(once+1))
}

// Weight is the approximate memory of r, in bytes.
func (r *Router) Weight() int64 { return r.weight }

// Bypass returns the conditions under which requests bypass the prerender of an
// output; nil is never.
func (r *Router) Bypass(output string) *Conditions { return r.bypass[output] }

// compileBypass compiles the conditions of m's prerenders. An error names the
// output.
func compileBypass(m *lateen.Manifest, b *budget, p patterns) (map[string]*Conditions, error) {
	all := map[string]*Conditions{}
	for output, prerender := range m.Prerenders {
		if len(prerender.BypassFor) == 0 {
			continue
		}
		began := b.now()
		c, err := p.conditions(prerender.BypassFor)
		if err == nil {
			err = b.spend(ruleBytes+conditionBytes(c.list), began)
		}
		if err != nil {
			return nil, lateen.ErrInvalidRoute.With("experimentalBypassFor of the prerender %s: %s", output, err.Error())
		}
		all[output] = c
	}
	return all, nil
}
