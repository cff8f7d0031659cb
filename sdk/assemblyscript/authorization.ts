// The role of an authorizer: the plugin is asked whether a user may do what they want to do.
//
//     export * from "gatehouse/abi";
//     export { authorize } from "gatehouse/authorization";
//
//     handle((request: Request): Response => request.verb == "get" ? allow("all may look") : noOpinion());

import { element, field, texts } from "./index";
import { answerTo, failed } from "./review";

/**
 * The review at hand. It asks the server, which has the review decoded; nothing is parsed here. It is good until the
 * handler returns.
 */
export class Request {
  get user(): string { return field("/spec/user").text; }
  get uid(): string { return field("/spec/uid").text; }
  get groups(): string[] { return texts("/spec/groups"); }

  /** What else is known of the user under a key, such as example.com/team. */
  extra(key: string): string[] { return texts("/spec/extra/" + element(key)); }

  /** Whether it is for a resource; a request that is not has a path and a verb, and nothing else of what follows. */
  get isForResource(): bool { return field("/spec/resourceAttributes").exists; }

  /** What is to be done: get, list, watch, create, update, patch, delete and so on; off resources a lower-case HTTP method. */
  get verb(): string {
    const verb = field("/spec/resourceAttributes/verb");
    return verb.exists ? verb.text : field("/spec/nonResourceAttributes/verb").text;
  }

  /** "" for what lives in none, and for requests that are about all. */
  get namespace(): string { return field("/spec/resourceAttributes/namespace").text; }

  /** The API group; "" is the one of Pods. */
  get group(): string { return field("/spec/resourceAttributes/group").text; }
  get version(): string { return field("/spec/resourceAttributes/version").text; }

  /** The plural name, such as pods. */
  get resource(): string { return field("/spec/resourceAttributes/resource").text; }

  /** What follows the object's name in the path, such as log; mostly "". */
  get subresource(): string { return field("/spec/resourceAttributes/subresource").text; }

  /** The object's name, "" when the request is for many. */
  get name(): string { return field("/spec/resourceAttributes/name").text; }

  /** The path of a request that is not for a resource. */
  get path(): string { return field("/spec/nonResourceAttributes/path").text; }
}

enum Verdict {
  Allowed,
  Denied,
  NoOpinion,
  Failed,
}

/** A verdict in the making. */
export class Response {
  private evaluationError: string = "";

  /** Use allow, deny, noOpinion and fail. */
  constructor(private verdict: Verdict, private reason: string) {}

  /** Says what went wrong while the plugin decided all the same. */
  despite(error: string): this {
    this.evaluationError = error;
    return this;
  }

  /** The answer to the review at hand. */
  packed(): u64 {
    if (this.verdict == Verdict.Failed) return failed(this.reason);
    const json = answerTo("authorization.k8s.io/v1", "SubjectAccessReview").key("status").object()
      .key("allowed").bool(this.verdict == Verdict.Allowed);
    if (this.verdict == Verdict.Denied) json.key("denied").bool(true);
    if (this.reason != "") json.key("reason").text(this.reason);
    if (this.evaluationError != "") json.key("evaluationError").text(this.evaluationError);
    return json.end().end().packed();
  }
}

/** Lets the user do it; nobody further is asked. */
export function allow(reason: string = ""): Response { return new Response(Verdict.Allowed, reason); }

/** Refuses it, whatever others would say; the client gets 403 with the reason. */
export function deny(reason: string): Response { return new Response(Verdict.Denied, reason); }

/** Leaves it to others. The reason is for the client to see if nobody allows it. */
export function noOpinion(reason: string = ""): Response { return new Response(Verdict.NoOpinion, reason); }

/** Says that the plugin cannot decide, and why. The request is denied unless the plugin's configuration says otherwise. */
export function fail(why: string): Response { return new Response(Verdict.Failed, why); }

/** Decides about one request. It must not keep the request. To throw is to fail, and costs the plugin its memory besides. */
export type Handler = (request: Request) => Response;

let handler: Handler | null = null;
const request = new Request();

/** Registers the plugin's handler; call it at the top level of the module. */
export function handle(h: Handler): void { handler = h; }

/** Answers one SubjectAccessReview; exporting it makes the plugin an authorizer. */
export function authorize(payload: usize, n: u32): u64 {
  const decide = handler;
  if (decide === null) return failed("the plugin has no authorization handler: call handle at the top level of its module");
  return decide(request).packed();
}
