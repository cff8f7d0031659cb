// What a gatehouse plugin written in AssemblyScript needs whatever its role: look-ups in the review it works on, its
// settings, the server's log. The files admission, authentication and authorization hold the roles: exporting a role's
// function makes the plugin play it. README.md has a whole plugin.
//
// A plugin runs one call at a time and is thrown away after a throw, so it may keep state in module-level variables, as a
// cache, but must not rely on it. Everything else a call makes is gone when the next begins.

import { callHost, log as logAt, lookUp } from "./host";
import { Kind, Value } from "./value";

export { Kind, Value };
export { Json } from "./json";
export { onConfigure } from "./settings";

/**
 * Looks up a JSON pointer (RFC 6901) in the review at hand, "/request/object/metadata/name" for one; and in the plugin's
 * settings while they are taken. The server answers from the object it has already decoded: nothing is parsed here.
 * A pointer that leads nowhere gives a Value that does not exist; a malformed one throws.
 */
export function field(pointer: string): Value {
  const value = lookUp(pointer);
  if (value.kind == Kind.Failure) throw new Error(value.text);
  return value;
}

/** The strings of the array that a pointer leads to; what is no string among them is left out. */
export function texts(pointer: string): string[] {
  const found: string[] = [];
  let value = field(pointer + "/0");
  for (let i = 1; value.exists; i++) {
    if (value.kind == Kind.String) found.push(value.text);
    value = field(`${pointer}/${i}`);
  }
  return found;
}

/** Makes a text, such as the key of a label, one element of a JSON pointer: `/metadata/labels/${element(key)}`. */
export function element(text: string): string {
  return text.includes("~") || text.includes("/") ? text.replaceAll("~", "~0").replaceAll("/", "~1") : text;
}

/** Level of a log message. */
export enum Level {
  Debug,
  Info,
  Warn,
  Error,
}

/** Writes one line to the server's log, which names the plugin. A call may log 16 KiB; more is dropped and counted. */
export function log(level: Level, message: string): void {
  logAt(level, message);
}

/**
 * Asks the server for something that is not the plugin's to have by itself. Which names exist and what they may be asked
 * is the server's configuration; for an unknown one the value's kind is Failure.
 */
export function call(name: string, payload: string): Value {
  return callHost(name, payload);
}
