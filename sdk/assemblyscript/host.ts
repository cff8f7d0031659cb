// The ABI: memory that host and guest share, and the functions the host provides. Only the SDK uses it.
//
// Memory is collected by alloc alone, which the host calls before each call: nothing is freed while the plugin is at work,
// so the addresses handed to the host here stay good.

import { Value, Kind } from "./value";

@external("gatehouse", "log")
declare function hostLog(level: u32, text: usize, length: u32): void;

@external("gatehouse", "field")
declare function hostField(pointer: usize, length: u32, buffer: usize, size: u32): u64;

@external("gatehouse", "host_call")
declare function hostCall(
  name: usize, nameLength: u32, payload: usize, payloadLength: u32, buffer: usize, size: u32,
): u64;

@external("gatehouse", "host_read")
declare function hostRead(buffer: usize, size: u32): u32;

/** The kind of an answer that says why there is none. */
const failure: u32 = 7;

/** Takes short answers of the host's functions. */
const answerSize: u32 = 1024;
const answerBuffer = memory.data(1024);

/** Takes JSON pointers of up to 256 characters, which are nearly all, as UTF-8. */
const pointerMax = 256;
const pointerBuffer = memory.data(3 * 256);

/** The buffer the host writes payloads to. It is kept between calls, and grows. */
let payloadBuffer: usize = 0;
let payloadSize: usize = 0;

/**
 * Frees what the last call left behind, and makes room for a payload of n bytes. Nothing but what module-level variables
 * refer to is alive now, so this needs no look at the stack, and no call pays for collection in its midst.
 */
export function makeRoom(n: u32): usize {
  __collect();
  if (<usize>n > payloadSize) {
    if (payloadBuffer != 0) heap.free(payloadBuffer);
    payloadSize = max<usize>(n, 4096);
    payloadBuffer = heap.alloc(payloadSize);
  }
  return payloadBuffer;
}

/** The payload as text. */
export function payloadText(at: usize, length: u32): string {
  return String.UTF8.decodeUnsafe(at, length);
}

/** The address and length of an answer as the host wants them. */
export function pack(at: usize, length: u32): u64 {
  return (<u64>at << 32) | length;
}

export function log(level: u32, message: string): void {
  const text = encode(message);
  hostLog(level, changetype<usize>(text), text.byteLength);
}

export function lookUp(pointer: string): Value {
  if (pointer.length <= pointerMax) {
    const length = String.UTF8.encodeUnsafe(changetype<usize>(pointer), pointer.length, pointerBuffer, false,
      String.UTF8.ErrorMode.REPLACE);
    return received(hostField(pointerBuffer, <u32>length, answerBuffer, answerSize));
  }
  const text = encode(pointer);
  return received(hostField(changetype<usize>(text), text.byteLength, answerBuffer, answerSize));
}

export function callHost(name: string, payload: string): Value {
  const name8 = encode(name);
  const payload8 = encode(payload);
  return received(hostCall(changetype<usize>(name8), name8.byteLength, changetype<usize>(payload8), payload8.byteLength,
    answerBuffer, answerSize));
}

function encode(text: string): ArrayBuffer {
  return String.UTF8.encode(text, false, String.UTF8.ErrorMode.REPLACE);
}

/** Takes an answer out of the buffer, or fetches it when it was too long for that. */
function received(packed: u64): Value {
  const kind = <u32>(packed >> 32);
  const length = <u32>packed;
  if (kind == Kind.Absent) return Value.absent;
  let text: string;
  if (length <= answerSize) {
    text = String.UTF8.decodeUnsafe(answerBuffer, length);
  } else {
    const long = new ArrayBuffer(length);
    text = String.UTF8.decodeUnsafe(changetype<usize>(long), hostRead(changetype<usize>(long), length));
  }
  if (kind == failure) return new Value(Kind.Failure, text);
  if (kind > failure) return new Value(Kind.Failure, `the server's answer is of the unknown kind ${kind}`);
  return new Value(kind, text);
}
