// Package wasm assembles small WebAssembly modules for tests: commands of WASI
// preview 1, each of which uses up one thing (WebAssembly Core Specification 2.0,
// chapter 5: binary format).
package wasm

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The functions that every module imports, by index, and the first of its own.
const (
	fdWrite  = 0
	pathOpen = 1
	start    = 2
)

// Opcodes, and pieces of code.
const (
	i32, i64, funcref = 0x7f, 0x7e, 0x70

	loop     = "\x03\x40"
	end      = "\x0b"
	again    = "\x0c\x00" // br 0
	call     = "\x10"
	drop     = "\x1a"
	localGet = "\x20"
	localSet = "\x21"
	constant = "\x41" // i32.const
	long     = "\x42" // i64.const
	less     = "\x49" // i32.lt_u
	add      = "\x6a" // i32.add
	brIf     = "\x0d\x00"
	refNull  = "\xd0\x70"

	fillTable = "\xfc\x11"

	text = 1024 // address of a text in memory
	page = 64 << 10
)

// module is the differences between modules.
type module struct {
	text   string   // at address text
	pages  int      // of memory
	tables []int    // how many entries each has
	locals int      // of type i32, of the first function
	code   string   // of the first function, which is _start, without its end
	more   []string // of functions behind it, with the type of _start
}

// Hello answers with a text, and logs a line.
func Hello(answer, line string) []byte {
	head := "Content-Type: text/plain\n\n" + answer
	return module{text: head + line, pages: 1, code: write(1, text, len(head)) + write(2, text+len(head), len(line))}.encode()
}

// OpenFiles opens the directory of its files without end.
func OpenFiles() []byte {
	open := constant + signed(3) + constant + signed(0) + constant + signed(text) + constant + signed(1) + constant + signed(0) +
		long + signed(0) + long + signed(0) + constant + signed(0) + constant + signed(512) + call + unsigned(pathOpen) + drop
	return module{text: ".", pages: 1, code: loop + open + again + end}.encode()
}

// LineEnds writes so many line ends to standard error in one call, without end.
func LineEnds(bytes int) []byte {
	fill := constant + signed(page) + constant + signed('\n') + constant + signed(bytes) + "\xfc\x0b\x00" // memory.fill
	return module{pages: 2 + bytes/page, code: fill + loop + write(2, page, bytes) + again + end}.encode()
}

// ManyLoops has one function with so many locals and loops, whose compilation
// takes time that grows with their product.
func ManyLoops(locals, loops int) []byte {
	var code bytes.Buffer
	for n := range loops {
		local := unsigned(n % locals)
		code.WriteString(loop + localGet + local + constant + signed(1) + add + localSet + local + localGet + local + constant + signed(10) + less + brIf + end)
	}
	return module{pages: 1, locals: locals, code: code.String()}.encode()
}

// Tables has so many tables of so many entries, all of which it writes.
func Tables(tables, entries int) []byte {
	m := module{pages: 1}
	for n := range tables {
		m.tables = append(m.tables, entries)
		m.code += constant + signed(0) + refNull + constant + signed(entries) + fillTable + unsigned(n)
	}
	m.code += loop + again + end
	return m.encode()
}

// FillTable fills a table of so many entries without end.
func FillTable(entries int) []byte {
	fill := constant + signed(0) + refNull + constant + signed(entries) + fillTable + unsigned(0)
	return module{pages: 1, tables: []int{entries}, code: loop + fill + again + end}.encode()
}

// Recurse calls itself without end, again and again where that is refused.
func Recurse() []byte {
	return module{pages: 1, code: call + unsigned(start+1), more: []string{call + unsigned(start+1) + call + unsigned(start+1)}}.encode()
}

// write is a call of fd_write with one vector.
func write(fd, address, length int) string {
	store := func(at, value int) string { return constant + signed(at) + constant + signed(value) + "\x36\x02\x00" } // i32.store
	return store(0, address) + store(4, length) +
		constant + signed(fd) + constant + signed(0) + constant + signed(1) + constant + signed(8) + call + unsigned(fdWrite) + drop
}

// encode returns the module in the binary format.
func (m module) encode() []byte {
	imports := vector(imported("fd_write", 1), imported("path_open", 2))
	functions, bodies := []string{unsigned(0)}, []string{body(m.locals, m.code)}
	for _, code := range m.more {
		functions, bodies = append(functions, unsigned(0)), append(bodies, body(0, code))
	}
	var tables []string
	for _, entries := range m.tables {
		tables = append(tables, string([]byte{funcref, 0})+unsigned(entries))
	}
	out := "\x00asm\x01\x00\x00\x00" +
		section(1, vector(signature(), signature(i32, i32, i32, i32), signature(i32, i32, i32, i32, i32, i64, i64, i32, i32))) +
		section(2, imports) + section(3, vector(functions...))
	if len(tables) > 0 {
		out += section(4, vector(tables...))
	}
	out += section(5, vector("\x00"+unsigned(m.pages))) +
		section(7, vector(name("_start")+"\x00"+unsigned(start), name("memory")+"\x02\x00")) +
		section(10, vector(bodies...))
	if m.text != "" {
		out += section(11, vector("\x00"+constant+signed(text)+end+name(m.text)))
	}
	return []byte(out)
}

// signature is a function's type: without parameters it returns nothing, else a
// number.
func signature(parameters ...byte) string {
	if len(parameters) == 0 {
		return "\x60\x00\x00"
	}
	return "\x60" + name(string(parameters)) + "\x01" + string([]byte{i32})
}

func imported(function string, kind int) string {
	return name("wasi_snapshot_preview1") + name(function) + "\x00" + unsigned(kind)
}

func body(locals int, code string) string {
	declared := vector()
	if locals > 0 {
		declared = vector(unsigned(locals) + string([]byte{i32}))
	}
	return name(declared + code + end)
}

func section(id byte, content string) string { return string([]byte{id}) + name(content) }

func vector(items ...string) string {
	return unsigned(len(items)) + strings.Join(items, "")
}

// name is bytes behind their number.
func name(text string) string { return unsigned(len(text)) + text }

// unsigned is a number in LEB128.
func unsigned(n int) string {
	return string(binary.AppendUvarint(nil, uint64(n))) //nolint:gosec // none is negative
}

// signed is a number in signed LEB128.
func signed(n int) string {
	var out []byte
	for {
		b := byte(n & 0x7f)
		n >>= 7
		if n == 0 && b&0x40 == 0 || n == -1 && b&0x40 != 0 {
			return string(append(out, b))
		}
		out = append(out, b|0x80)
	}
}
