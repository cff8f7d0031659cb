// What answers to all reviews have in common. Only the SDK uses it.

import { Json } from "./json";

/** Begins the answer to a review of a kind. */
export function answerTo(apiVersion: string, kind: string): Json {
  return Json.answer().object().key("apiVersion").text(apiVersion).key("kind").text(kind);
}

/** The answer of a plugin that cannot decide. */
export function failed(why: string): u64 {
  return answerTo("v1", "Status").key("status").text("Failure").key("message").text(why).end().packed();
}
