package host

import "unsafe"

//go:wasmimport gatehouse log
func log(level uint32, text unsafe.Pointer, n uint32)

//go:wasmimport gatehouse field
func field(pointer unsafe.Pointer, n uint32, buffer unsafe.Pointer, size uint32) uint64

//go:wasmimport gatehouse host_call
func hostCall(name unsafe.Pointer, n uint32, payload unsafe.Pointer, m uint32, buffer unsafe.Pointer, size uint32) uint64

//go:wasmimport gatehouse host_read
func hostRead(buffer unsafe.Pointer, size uint32) uint32

var (
	// payload is the buffer the host writes to. It is kept between calls, and grows.
	payload []byte
	// answer keeps the last answer alive until the host has copied it.
	answer []byte
	// scratch takes what short answers of the host's functions need.
	scratch [512]byte
)

// Alloc makes room for a payload of n bytes.
func Alloc(n uint32) uint32 {
	if uint32(cap(payload)) < n {
		payload = make([]byte, n, max(n, 4096))
	}
	payload = payload[:n]
	return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(payload))))
}

// Payload is what the host wrote to the buffer that Alloc gave. It is overwritten by the next call.
func Payload(ptr, n uint32) []byte {
	return payload[:n]
}

// Answer packs pointer and length of what the host is to read.
func Answer(b []byte) uint64 {
	answer = b
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))<<32 | uint64(uint32(len(b)))
}

// Log writes text to the server's log.
func Log(level uint32, text string) {
	log(level, unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

// Field looks a JSON pointer up.
func Field(pointer string) (kind uint32, text string) {
	return receive(field(unsafe.Pointer(unsafe.StringData(pointer)), uint32(len(pointer)),
		unsafe.Pointer(&scratch), uint32(len(scratch))))
}

// Call calls an operation of the host.
func Call(name string, payload []byte) (kind uint32, text string) {
	return receive(hostCall(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)),
		unsafe.Pointer(unsafe.SliceData(payload)), uint32(len(payload)),
		unsafe.Pointer(&scratch), uint32(len(scratch))))
}

// receive takes an answer out of scratch, or fetches it when it was too long for that.
func receive(packed uint64) (kind uint32, text string) {
	n := lengthOf(packed)
	if n <= uint32(len(scratch)) {
		return kindOf(packed), string(scratch[:n])
	}
	long := make([]byte, n)
	got := hostRead(unsafe.Pointer(unsafe.SliceData(long)), n)
	return kindOf(packed), unsafe.String(unsafe.SliceData(long), got)
}
