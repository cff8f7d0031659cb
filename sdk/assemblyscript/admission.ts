// The role of an admission controller: the plugin is asked about writes, and allows, changes or denies them.
//
//     export * from "gatehouse/abi";
//     export { admit } from "gatehouse/admission";
//
//     handle((request: Request): Response => request.label("owner").exists ? allow() : deny("set the label owner"));

import { makeRoom } from "./host";
import { element, field, texts, Value } from "./index";
import { Json } from "./json";
import { answerTo, failed } from "./review";

/**
 * The review at hand. It asks the server, which has the review decoded; nothing is parsed here. It is good until the
 * handler returns.
 */
export class Request {
  /** CREATE, UPDATE, DELETE or CONNECT. */
  get operation(): string { return field("/request/operation").text; }

  /** The object's kind, such as Pod; group and version say which. */
  get kind(): string { return field("/request/kind/kind").text; }
  get group(): string { return field("/request/kind/group").text; }
  get version(): string { return field("/request/kind/version").text; }

  /** The plural name in the path, such as pods. */
  get resource(): string { return field("/request/resource/resource").text; }

  /** What follows the object's name in the path, such as status; mostly "". */
  get subResource(): string { return field("/request/subResource").text; }

  /** "" when an object is created whose name the server is to make up. */
  get name(): string { return field("/request/name").text; }

  /** "" for objects that live in none. */
  get namespace(): string { return field("/request/namespace").text; }

  /** The name of who asks, and their groups. */
  get user(): string { return field("/request/userInfo/username").text; }
  get groups(): string[] { return texts("/request/userInfo/groups"); }

  /** Whether nothing will be stored. */
  get dryRun(): bool { return field("/request/dryRun").bool; }

  /**
   * Looks up a JSON pointer in the object: object("/spec/containers/0/image"). There is no object when one is deleted.
   */
  object(pointer: string): Value { return field("/request/object" + pointer); }

  /** Looks up a JSON pointer in the object as it is stored, when it is updated or deleted. */
  oldObject(pointer: string): Value { return field("/request/oldObject" + pointer); }

  /** A label of the object. */
  label(key: string): Value { return this.object("/metadata/labels/" + element(key)); }

  /** An annotation of the object. */
  annotation(key: string): Value { return this.object("/metadata/annotations/" + element(key)); }
}

/** A verdict in the making. Its methods return it, so that calls can be strung together. */
export class Response {
  private status: i32 = 403;
  private reason: string = "Forbidden";
  private patches: Json | null = null;
  private warnings: Json | null = null;
  private annotations: Json | null = null;
  /** The maps that patches make because the object has none: labels, annotations. */
  private made: string[] = [];

  /** Use allow, deny and fail. */
  constructor(private verdict: Verdict, private message: string) {}

  /** Replaces a denial's HTTP status and its reason, such as 422 and Invalid. */
  code(status: i32, reason: string): this {
    this.status = status;
    this.reason = reason;
    return this;
  }

  /** Adds a warning that the client shows its user. */
  warn(message: string): this {
    let warnings = this.warnings;
    if (warnings === null) this.warnings = warnings = new Json().array();
    warnings.text(message);
    return this;
  }

  /** Adds an annotation to the request's audit event; the server puts the plugin's name before the key. */
  audit(key: string, value: string): this {
    let annotations = this.annotations;
    if (annotations === null) this.annotations = annotations = new Json().object();
    annotations.key(key).text(value);
    return this;
  }

  /** Patches a label of the object, unless it has that value already. */
  setLabel(request: Request, key: string, value: string): this { return this.setIn(request, "labels", key, value); }

  /** Patches an annotation of the object, unless it has that value already. */
  setAnnotation(request: Request, key: string, value: string): this {
    return this.setIn(request, "annotations", key, value);
  }

  /** Patches a string in the object, where there is something already. */
  setText(pointer: string, value: string): this { return this.patch("replace", pointer, new Json().text(value)); }

  /** Adds one JSON patch operation (RFC 6902). The pointer leads into the object; a remove has no value. */
  patch(operation: string, pointer: string, value: Json | null = null): this {
    let patches = this.patches;
    if (patches === null) this.patches = patches = new Json().array();
    patches.object().key("op").text(operation).key("path").text(pointer);
    if (value !== null) patches.key("value").nested(value);
    patches.end();
    return this;
  }

  private setIn(request: Request, map: string, key: string, value: string): this {
    const pointer = `/metadata/${map}/${element(key)}`;
    const old = request.object(pointer);
    if (old.exists && old.text == value) return this;
    if (!this.made.includes(map) && !request.object("/metadata/" + map).exists) {
      this.patch("add", "/metadata/" + map, new Json().object().end());
      this.made.push(map);
    }
    return this.patch("add", pointer, new Json().text(value));
  }

  /** The answer to the review at hand. */
  packed(): u64 {
    if (this.verdict == Verdict.Failed) return failed(this.message);
    const json = answerTo("admission.k8s.io/v1", "AdmissionReview").key("response").object()
      .key("uid").text(field("/request/uid").text)
      .key("allowed").bool(this.verdict == Verdict.Allowed);
    if (this.verdict == Verdict.Denied) {
      json.key("status").object()
        .key("code").number(this.status).key("reason").text(this.reason).key("message").text(this.message).end();
    }
    const patches = this.patches;
    if (patches !== null) json.key("patchType").text("JSONPatch").key("patch").base64(patches.end());
    const warnings = this.warnings;
    if (warnings !== null) json.key("warnings").nested(warnings.end());
    const annotations = this.annotations;
    if (annotations !== null) json.key("auditAnnotations").nested(annotations.end());
    return json.end().end().packed();
  }
}

enum Verdict {
  Allowed,
  Denied,
  Failed,
}

/** Lets the request pass. */
export function allow(): Response { return new Response(Verdict.Allowed, ""); }

/** Refuses the request with 403 Forbidden; the client sees the message after the plugin's name. */
export function deny(message: string): Response { return new Response(Verdict.Denied, message); }

/** Says that the plugin cannot decide, and why. The request is denied unless the plugin's configuration says otherwise. */
export function fail(why: string): Response { return new Response(Verdict.Failed, why); }

/** Decides about one request. It must not keep the request. To throw is to fail, and costs the plugin its memory besides. */
export type Handler = (request: Request) => Response;

let handler: Handler | null = null;
const request = new Request();

/** Registers the plugin's handler; call it at the top level of the module. */
export function handle(h: Handler): void { handler = h; }

/** Answers one AdmissionReview; exporting it makes the plugin an admission controller. */
export function admit(payload: usize, n: u32): u64 {
  makeRoom(0); // there is no payload, and so nothing has been freed yet
  const decide = handler;
  if (decide === null) return failed("the plugin has no admission handler: call handle at the top level of its module");
  return decide(request).packed();
}
