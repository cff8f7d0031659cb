// The role of an authenticator: the plugin is asked who sends a request, by its bearer token or by what else it holds.
//
//     export * from "gatehouse/abi";
//     export { authenticate } from "gatehouse/authentication";
//
//     handleToken((token: string): Response => token == secret ? accept(new User("jane")) : noOpinion());

import { element, field, texts } from "./index";
import { Json } from "./json";
import { answerTo, failed } from "./review";

/**
 * A request without its body: what of it the plugin's configuration lets it see. It asks the server, which has the review
 * decoded; nothing is parsed here. It is good until the handler returns.
 */
export class Request {
  get method(): string { return field("/spec/method").text; }
  get path(): string { return field("/spec/path").text; }

  /** What follows the ?, as the client sent it. */
  get query(): string { return field("/spec/query").text; }
  get host(): string { return field("/spec/host").text; }

  /** Address and port of the peer, which may be a proxy. */
  get remoteAddress(): string { return field("/spec/remoteAddress").text; }

  /** All values of a header, by its canonical name such as X-Api-Key, in the order in which they came. */
  header(name: string): string[] { return texts("/spec/headers/" + element(name)); }

  /**
   * The client's chain of certificates, its own first, each the base64 of its DER. Only that the client has the key of the
   * first has been verified, neither who signed it nor its dates.
   */
  get clientCertificates(): string[] { return texts("/spec/clientCertificates"); }
}

/** The audiences that the server asks for. */
export function audiences(): string[] { return texts("/spec/audiences"); }

/** Who sent the request. */
export class User {
  uid: string = "";
  groups: string[] = [];
  private extras: Json | null = null;

  /** The name must not be empty, and not begin with system: unless the configuration allows that. */
  constructor(readonly name: string) {}

  /** Says what else is known of the user under a key, such as example.com/team. Each key once. */
  extra(key: string, values: string[]): this {
    let extras = this.extras;
    if (extras === null) this.extras = extras = new Json().object();
    extras.key(key).texts(values);
    return this;
  }

  write(json: Json): void {
    json.object().key("username").text(this.name);
    if (this.uid != "") json.key("uid").text(this.uid);
    if (this.groups.length > 0) json.key("groups").texts(this.groups);
    const extras = this.extras;
    if (extras !== null) json.key("extra").nested(extras.end());
    json.end();
  }
}

enum Verdict {
  Accepted,
  Rejected,
  NoOpinion,
  Failed,
}

/** A verdict in the making. */
export class Response {
  private audiences: string[] = [];

  /** Use accept, reject, noOpinion and fail. */
  constructor(private verdict: Verdict, private message: string, private user: User | null) {}

  /** Says for which of the audiences that the server asks for the credentials are good; without it for the server itself. */
  goodFor(audiences: string[]): this {
    this.audiences = audiences;
    return this;
  }

  /** The answer to the review at hand. */
  packed(): u64 {
    if (this.verdict == Verdict.Failed) return failed(this.message);
    const json = answerTo(field("/apiVersion").text, field("/kind").text).key("status").object()
      .key("authenticated").bool(this.verdict == Verdict.Accepted);
    const user = this.user;
    if (user !== null) user.write(json.key("user"));
    if (this.audiences.length > 0) json.key("audiences").texts(this.audiences);
    if (this.verdict == Verdict.Rejected) json.key("error").text(this.message);
    return json.end().end().packed();
  }
}

/** Lets the request in as a user; nobody further is asked. */
export function accept(user: User): Response { return new Response(Verdict.Accepted, "", user); }

/** Says that the credentials are of the plugin's kind, and wrong. */
export function reject(error: string): Response {
  return new Response(Verdict.Rejected, error == "" ? "the credentials are wrong" : error, null); // "" were no opinion
}

/** Leaves it to others. */
export function noOpinion(): Response { return new Response(Verdict.NoOpinion, "", null); }

/** Says that the plugin cannot decide, and why. */
export function fail(why: string): Response { return new Response(Verdict.Failed, why, null); }

/** Says who has a bearer token. To throw is to fail, and costs the plugin its memory besides. */
export type TokenHandler = (token: string) => Response;

/** Says who sent a request. It must not keep the request. To throw is to fail, and costs the plugin its memory besides. */
export type RequestHandler = (request: Request) => Response;

let tokenHandler: TokenHandler | null = null;
let requestHandler: RequestHandler | null = null;
const request = new Request();

/** Registers the plugin's handler of bearer tokens; call it at the top level of the module. */
export function handleToken(h: TokenHandler): void { tokenHandler = h; }

/** Registers the plugin's handler of requests, of which it hears when its configuration says so. */
export function handleRequest(h: RequestHandler): void { requestHandler = h; }

/** Answers one TokenReview or RequestReview; exporting it makes the plugin an authenticator. */
export function authenticate(payload: usize, n: u32): u64 {
  const ofToken = tokenHandler;
  const ofRequest = requestHandler;
  if (field("/kind").text == "TokenReview") {
    if (ofToken !== null) return ofToken(field("/spec/token").text).packed();
    return failed("the plugin has no handler of bearer tokens: call handleToken, or set authentication.tokens to false");
  }
  if (ofRequest !== null) return ofRequest(request).packed();
  return failed("the plugin has no handler of requests: call handleRequest, or remove authentication.requests");
}
