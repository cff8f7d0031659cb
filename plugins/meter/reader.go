package meter

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Error says what is wrong with a module's bytes. Its message is one line.
type Error struct {
	// Cause reads on after the module's name: "is truncated or damaged".
	Cause string
	// Section is the name of the section it was found in; empty when it was in none.
	Section string
	// Offset is where in the file, in bytes.
	Offset int
	// Function is the index of the function it was found in, imported ones counted; -1 when it was in none.
	Function int
}

func (e *Error) Error() string {
	where := ""
	if e.Section != "" {
		where = "section " + e.Section + ", "
	}
	if e.Function >= 0 {
		where += fmt.Sprintf("function %d, ", e.Function)
	}
	return fmt.Sprintf("%s (%sbyte %d)", e.Cause, where, e.Offset)
}

// reader walks over a piece of a module. The first thing that is wrong breaks it: from then on it answers zeros, so that a
// caller may look for the error at the end of a stretch. Loops over what it counts must stop when it is broken.
type reader struct {
	data []byte
	at   int
	// base is where in the file data begins.
	base int
	// err is what was wrong first; nil while all is well.
	err *Error
}

// sub returns a reader of the next n bytes, and passes over them.
func (r *reader) sub(n uint32) *reader {
	base := r.base + r.at
	return &reader{data: r.bytes(n), base: base, err: r.err}
}

func (r *reader) broken() bool { return r.err != nil }

// more reports whether there is anything left to read.
func (r *reader) more() bool { return r.err == nil && r.at < len(r.data) }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Cause: fmt.Sprintf(format, args...), Offset: r.base + r.at, Function: -1}
	}
}

// cut breaks the reader for running past its end.
func (r *reader) cut() { r.fail("is truncated or damaged") }

// end breaks the reader if anything is left.
func (r *reader) end() {
	if r.more() {
		r.fail("is damaged: %d bytes are left over", len(r.data)-r.at)
	}
}

func (r *reader) byte() byte {
	if !r.more() {
		r.cut()
		return 0
	}
	b := r.data[r.at]
	r.at++
	return b
}

func (r *reader) bytes(n uint32) []byte {
	if r.broken() || uint64(n) > uint64(len(r.data)-r.at) {
		r.cut()
		return nil
	}
	b := r.data[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

// uint32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) uint32() uint32 {
	if r.broken() {
		return 0
	}
	if r.at < len(r.data) && r.data[r.at] < 0x80 { // most are one byte
		r.at++
		return uint32(r.data[r.at-1])
	}
	n, size := binary.Uvarint(r.data[r.at:])
	if size <= 0 || size > 5 || n > math.MaxUint32 {
		r.cut()
		return 0
	}
	r.at += size
	return uint32(n)
}

// index reads an index that must be below count; what names its kind in the error.
func (r *reader) index(what string, count int) uint32 {
	i := r.uint32()
	if !r.broken() && uint64(i) >= uint64(count) {
		r.fail("refers to the %s %d, but has %d", what, i, count)
	}
	return i
}

// skipNumber passes over a LEB128 number of at most 64 bits.
func (r *reader) skipNumber() {
	for range 10 {
		if r.byte()&0x80 == 0 {
			return
		}
	}
	r.cut()
}

// int33 reads a signed LEB128 number of at most 33 bits, which is what a block's type is.
func (r *reader) int33() int64 {
	var n int64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		n |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b&0x40 != 0 {
				n |= -1 << (shift + 7)
			}
			return n
		}
	}
	r.cut()
	return 0
}

// count reads the length of a vector. The runtime sets memory aside by this number before it reads an element, so it must
// be one that the bytes left can hold, each element taking at least size of them, and that most allows.
func (r *reader) count(what string, size, most uint32) uint32 {
	n := r.uint32()
	if n > most {
		r.fail("has %d %s, at most %d are allowed", n, what, most)
	}
	if uint64(n)*uint64(size) > uint64(len(r.data)-r.at) {
		r.cut()
	}
	if r.broken() {
		return 0
	}
	return n
}

// name reads a name or a custom section's content.
func (r *reader) name() []byte { return r.bytes(r.uint32()) }

// valueType reads one of the value types of WebAssembly 2.0.
func (r *reader) valueType() byte {
	b := r.byte()
	switch b {
	case typeI32, typeI64, typeF32, typeF64, typeV128, typeFuncref, typeExternref:
	default:
		r.fail("uses the value type %#x, which this server does not know", b)
	}
	return b
}

// limits reads how large a table or a memory is and may become.
func (r *reader) limits() (smallest, largest uint32) {
	flags := r.byte()
	if flags > 1 {
		r.fail("has a shared or a 64 bit memory or table, which this server cannot run")
	}
	smallest, largest = r.uint32(), math.MaxUint32
	if flags == 1 {
		largest = r.uint32()
	}
	return smallest, largest
}

// appendUint appends n in LEB128.
func appendUint[N int | uint32](to []byte, n N) []byte { return binary.AppendUvarint(to, uint64(n)) }

// appendInt appends n in signed LEB128.
func appendInt(to []byte, n int64) []byte {
	for n < -64 || n > 63 {
		to = append(to, byte(n)|0x80)
		n >>= 7
	}
	return append(to, byte(n)&0x7f)
}
