package main

import "unsafe"

// What waPC's SDKs hide: the functions that host and guest have for each other. The SDK for Go knows them for TinyGo alone.

//go:wasmimport wapc __guest_request
func guestRequest(operation, payload unsafe.Pointer)

//go:wasmimport wapc __guest_response
func guestResponse(text unsafe.Pointer, n uint32)

//go:wasmimport wapc __guest_error
func guestError(text unsafe.Pointer, n uint32)

//go:wasmimport wapc __host_call
func callHost(binding unsafe.Pointer, bindingLen uint32, namespace unsafe.Pointer, namespaceLen uint32,
	operation unsafe.Pointer, operationLen uint32, payload unsafe.Pointer, payloadLen uint32) uint32

//go:wasmimport wapc __host_response_len
func hostResponseLen() uint32

//go:wasmimport wapc __host_response
func hostResponse(to unsafe.Pointer)

//go:wasmimport wapc __host_error_len
func hostErrorLen() uint32

//go:wasmimport wapc __host_error
func hostError(to unsafe.Pointer)

//go:wasmimport wapc __console_log
func consoleLog(text unsafe.Pointer, n uint32)

//go:wasmexport __guest_call
func guestCall(operationLen, payloadLen uint32) uint32 {
	operation, payload := make([]byte, operationLen), make([]byte, payloadLen)
	guestRequest(pointer(operation), pointer(payload))
	answer, err := answer(string(operation), payload)
	if err != nil {
		text := []byte(err.Error())
		guestError(pointer(text), uint32(len(text)))
		return 0
	}
	guestResponse(pointer(answer), uint32(len(answer)))
	return 1
}

// hostCall is a host call to the binding kubewarden.
func hostCall(namespace, operation, payload string) (response string, ok bool) {
	b, n, o, p := []byte("kubewarden"), []byte(namespace), []byte(operation), []byte(payload)
	if callHost(pointer(b), uint32(len(b)), pointer(n), uint32(len(n)), pointer(o), uint32(len(o)), pointer(p), uint32(len(p))) == 1 {
		text := make([]byte, hostResponseLen())
		hostResponse(pointer(text))
		return string(text), true
	}
	text := make([]byte, hostErrorLen())
	hostError(pointer(text))
	return string(text), false
}

func pointer(text []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(text)) }
