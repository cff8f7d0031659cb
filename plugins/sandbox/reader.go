package sandbox

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// reader walks over a piece of a module. The first thing that is wrong breaks it: from then on it answers zeros, so that a
// caller may look for the fault at the end of a stretch. Loops over what it counts must stop when it is broken.
type reader struct {
	data []byte
	at   int
	// fault is what was wrong first; nil while all is well.
	fault *Fault
}

func (r *reader) broken() bool { return r.fault != nil }

// more reports whether there is anything left to read.
func (r *reader) more() bool { return r.fault == nil && r.at < len(r.data) }

func (r *reader) fail(format string, args ...any) {
	if r.fault == nil {
		r.fault = faultf(Rejected, format, args...)
	}
}

// cut breaks the reader for running past its end.
func (r *reader) cut() { r.fail("is truncated or damaged") }

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
	n, size := binary.Uvarint(r.data[r.at:])
	if size <= 0 || size > 5 || n > math.MaxUint32 {
		r.cut()
		return 0
	}
	r.at += size
	return uint32(n)
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

func (r *reader) skipName() { r.bytes(r.uint32()) }

// valueType passes over one of the value types of WebAssembly 2.0.
func (r *reader) valueType() {
	switch b := r.byte(); b {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f: // i32, i64, f32, f64, v128, funcref, externref
	default:
		r.fail("uses the value type %#x, which this server does not know", b)
	}
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

// constant passes over a constant expression.
func (r *reader) constant() {
	for !r.broken() {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x41, 0x42, 0x23, 0xd2: // i32.const, i64.const, global.get, ref.func
			r.skipNumber()
		case 0x43: // f32.const
			r.bytes(4)
		case 0x44: // f64.const
			r.bytes(8)
		case 0xd0: // ref.null
			r.valueType()
		case 0xfd: // v128.const is the only one of its kind that is constant
			if r.uint32() != 0x0c {
				r.fail("has a constant expression which this server does not know")
			}
			r.bytes(16)
		default:
			r.fail("has the instruction %#x in a constant expression, which this server does not know", op)
		}
	}
}

func writeUint32(out *bytes.Buffer, n uint32) {
	out.Write(binary.AppendUvarint(out.AvailableBuffer(), uint64(n)))
}

// in says where a fault was found.
func (f *Fault) in(format string, args ...any) *Fault {
	if f != nil {
		f.Cause += fmt.Sprintf(" ("+format+")", args...)
	}
	return f
}
