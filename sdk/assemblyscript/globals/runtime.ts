// What AssemblyScript would import from the module env, which a gatehouse server does not have, done with what it has.
// asconfig.json puts these in the place of abort, seed, trace, Date and console.

import { Date } from "date";

@external("wasi_snapshot_preview1", "fd_write")
declare function writeVectors(fd: i32, vectors: usize, count: i32, written: usize): i32;

@external("wasi_snapshot_preview1", "random_get")
declare function randomBytes(buffer: usize, length: u32): i32;

@external("wasi_snapshot_preview1", "clock_time_get")
declare function readClock(id: i32, precision: u64, nanoseconds: usize): i32;

@external("gatehouse", "log")
declare function writeLog(level: u32, text: usize, length: u32): void;

// @ts-ignore: decorator
@inline const stderr = 2;
// @ts-ignore: decorator
@inline const realTime = 0;
// @ts-ignore: decorator
@inline const nanosecondsPerMillisecond: u64 = 1000000;

/** Room for what WASI's functions answer, and for their arguments. */
// @ts-ignore: decorator
@lazy const scratch = memory.data(16);

/** Writes why to stderr, from where the server takes a failure's cause, and traps. What throw and assert become. */
export function gatehouse_abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const why = message === null ? "aborted" : message;
  const where = file === null ? "" : ` (${file}:${line}:${column})`;
  const text = String.UTF8.encode(`${why}${where}\n`, false, String.UTF8.ErrorMode.REPLACE);
  store<usize>(scratch, changetype<usize>(text));
  store<u32>(scratch, text.byteLength, sizeof<usize>());
  writeVectors(stderr, scratch, 1, scratch + 8);
  unreachable();
}

/** What Math.random starts from. */
export function gatehouse_seed(): f64 {
  randomBytes(scratch, 8);
  return reinterpret<f64>(load<u64>(scratch));
}

/** Logs a message and numbers at the level debug. */
export function gatehouse_trace(message: string, n: i32 = 0, a0: f64 = 0, a1: f64 = 0, a2: f64 = 0, a3: f64 = 0, a4: f64 = 0): void {
  let text = message;
  if (n > 0) text += ` ${a0}`;
  if (n > 1) text += ` ${a1}`;
  if (n > 2) text += ` ${a2}`;
  if (n > 3) text += ` ${a3}`;
  if (n > 4) text += ` ${a4}`;
  logAt(0, text);
}

/** Date by the server's clock. */
export class gatehouse_Date extends Date {
  static now(): i64 {
    if (readClock(realTime, nanosecondsPerMillisecond, scratch) != 0) throw new Error("the clock cannot be read");
    return load<u64>(scratch) / nanosecondsPerMillisecond;
  }
}

/** A console that writes to the server's log. */
export namespace gatehouse_console {
  export function debug(message: string = ""): void { logAt(0, message); }
  export function log(message: string = ""): void { logAt(1, message); }
  export function info(message: string = ""): void { logAt(1, message); }
  export function warn(message: string = ""): void { logAt(2, message); }
  export function error(message: string = ""): void { logAt(3, message); }
}

function logAt(level: u32, message: string): void {
  const text = String.UTF8.encode(message, false, String.UTF8.ErrorMode.REPLACE);
  writeLog(level, changetype<usize>(text), text.byteLength);
}
