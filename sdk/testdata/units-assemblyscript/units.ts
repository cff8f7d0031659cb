// The SDK's parts that need no server, for a test to call with texts in UTF-16, as JavaScript has them, and hold against what
// Go makes of these.

import { element, Json, Kind, Value } from "gatehouse";

export * from "gatehouse/abi";

function text(at: usize, n: u32): string { return String.UTF16.decodeUnsafe(at, n); }

/** A text as JSON. */
export function quote(at: usize, n: u32): u64 { return Json.answer().text(text(at, n)).packed(); }

/** A text as base64. */
export function base64(at: usize, n: u32): u64 { return Json.answer().base64(new Json().raw(text(at, n))).packed(); }

/** The names of an object's members, as a JSON array. */
export function keys(at: usize, n: u32): u64 {
  return Json.answer().texts(new Value(Kind.Object, text(at, n)).keys()).packed();
}

/** A JSON pointer of one element. */
export function pointer(at: usize, n: u32): u64 { return Json.answer().raw("/" + element(text(at, n))).packed(); }

/** Everything that can be written, around a text. */
export function write(at: usize, n: u32): u64 {
  const given = text(at, n);
  return Json.answer().object()
    .key("text").text(given)
    .key("yes").bool(true)
    .key("no").bool(false)
    .key("number").number(-42)
    .key("none").array().end()
    .key("nothing").object().end()
    .key("many").array().text("a").number(1).array().object().end().end().value("null").end()
    .key("texts").texts(["a", given])
    .key("json").value(new Json().text(given).toString())
    .key(given).nested(new Json().array().text(given).end())
    .end().packed();
}

/** What a value that is no object, number, text or boolean says when asked for these. */
export function otherwise(at: usize, n: u32): u64 {
  const list = new Value(Kind.Array, text(at, n));
  return Json.answer().object()
    .key("exists").bool(list.exists)
    .key("keys").number(list.keys().length)
    .key("isNumber").bool(list.number == list.number)
    .key("bool").bool(list.bool)
    .key("or").text(list.or("instead"))
    .end().packed();
}

/** Gives up as a plugin does. */
export function abort(at: usize, n: u32): u64 { throw new Error(text(at, n)); }

/** What is random, the time in milliseconds, and what is logged on the way. */
export function runtime(at: usize, n: u32): u64 {
  console.log("log");
  console.warn("warning");
  console.error(text(at, n));
  trace("trace", 2, 1.5, 2);
  return Json.answer().array().value(Math.random().toString()).number(Date.now()).end().packed();
}
