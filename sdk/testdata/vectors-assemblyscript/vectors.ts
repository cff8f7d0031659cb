// The vector guest that sdk/vectors/README.md asks for: a word in the review says what it does.

import * as admission from "gatehouse/admission";
import * as authentication from "gatehouse/authentication";
import * as authorization from "gatehouse/authorization";
import { call, field, Json, Kind, Level, log, onConfigure, texts, Value } from "gatehouse";

export * from "gatehouse/abi";
export { admit } from "gatehouse/admission";
export { authenticate } from "gatehouse/authentication";
export { authorize } from "gatehouse/authorization";

const outOfDate = "the list is out of date: \"ü\"";

let prefix = "";

onConfigure((): string | null => {
  const keys = field("").keys().sort();
  for (let i = 0; i < keys.length; i++) {
    if (keys[i] != "prefix") return `unknown setting: ${keys[i]}`;
  }
  const given = field("/prefix");
  if (given.exists && given.kind != Kind.String) return "prefix: is no text";
  prefix = given.text;
  return null;
});

admission.handle((request: admission.Request): admission.Response => {
  const word = request.name;
  if (word == "allow") return admission.allow();
  if (word == "deny") return admission.deny("no");
  if (word == "deny-status") return admission.deny(data("message")).code(422, "Invalid");
  if (word == "warn") return admission.allow().warn("first").warn(data("warning"));
  if (word == "audit") return admission.allow().audit("decision", "allowed").audit("text", data("text"));
  if (word == "label") return admission.allow().setLabel(request, "example.com/owner", data("owner"));
  if (word == "labels") {
    return admission.allow().setLabel(request, "example.com/owner", data("owner"))
      .setLabel(request, "example.com/team", data("owner")).setAnnotation(request, "example.com/~note", data("owner"));
  }
  if (word == "annotation") return admission.allow().setAnnotation(request, "example.com/~note", data("owner"));
  if (word == "patch") return patched();
  if (word == "fields") return fields();
  if (word == "malformed") field("no slash");
  if (word == "describe") return described(request);
  if (word == "settings") return admission.allow().warn(prefix);
  if (word == "echo") return admission.allow().warn(call("vectors.echo", data("text")).text);
  if (word == "unknown-call") return unknownCall();
  if (word == "log") return logged();
  if (word == "cannot") return admission.fail(outOfDate);
  if (word == "trap") throw new Error("a \"trap\" ü");
  return admission.fail(`unknown vector: ${word}`);
});

function data(key: string): string { return field("/request/object/data/" + key).text; }

function patched(): admission.Response {
  return admission.allow()
    .patch("replace", "/data/replaced", new Json().number(3))
    .patch("remove", "/data/removed")
    .patch("add", "/data/added~1a~0b", new Json().text(data("text")));
}

function fields(): admission.Response {
  const kinds = ["absent", "null", "boolean", "number", "string", "array", "object"];
  const pointers = texts("/request/object/pointers");
  const response = admission.allow();
  for (let i = 0; i < pointers.length; i++) {
    const found = field(pointers[i]);
    response.warn(found.exists ? `${kinds[found.kind]} ${found.text}` : kinds[found.kind]);
  }
  return response;
}

function described(request: admission.Request): admission.Response {
  return admission.allow().warn(request.operation).warn(request.group).warn(request.version).warn(request.kind)
    .warn(request.resource).warn(request.subResource).warn(request.name).warn(request.namespace).warn(request.user)
    .warn(request.dryRun ? "true" : "false");
}

function unknownCall(): admission.Response {
  const answer: Value = call("vectors.none", "x");
  return admission.allow().warn(answer.kind == Kind.Failure ? answer.text : "it was answered");
}

function logged(): admission.Response {
  log(Level.Debug, "debug ü");
  log(Level.Info, "info");
  log(Level.Warn, "warning");
  log(Level.Error, "error");
  return admission.allow();
}

authentication.handleToken((token: string): authentication.Response => identified(token));

authentication.handleRequest((request: authentication.Request): authentication.Response => {
  const words = request.header("X-Vector");
  if (words[0] != "describe") return identified(words[0]);
  const user = new authentication.User(request.method);
  user.groups = [request.path, request.query, request.host, request.remoteAddress]
    .concat(words).concat(request.clientCertificates);
  return authentication.accept(user);
});

function identified(word: string): authentication.Response {
  const jane = new authentication.User("jane");
  if (word == "accept") {
    jane.uid = "u-1";
    jane.groups = ["devs", "größe \"x\""];
    return authentication.accept(jane.extra("example.com/team", ["a", "b"]));
  }
  if (word == "plain") return authentication.accept(jane);
  if (word == "audience") return authentication.accept(jane).goodFor([authentication.audiences()[0]]);
  if (word == "none") return authentication.noOpinion();
  if (word == "wrong") return authentication.reject("the key has expired");
  if (word == "cannot") return authentication.fail(outOfDate);
  if (word == "trap") throw new Error("trapped");
  return authentication.fail(`unknown vector: ${word}`);
}

authorization.handle((request: authorization.Request): authorization.Response => {
  const word = request.user;
  if (word == "allow") return authorization.allow("because: \"ü\"");
  if (word == "deny") return authorization.deny("because: \"ü\"");
  if (word == "none") return authorization.noOpinion();
  if (word == "none-reason") return authorization.noOpinion("not mine");
  if (word == "error") return authorization.noOpinion().despite("half of it is unknown");
  if (word == "describe") {
    return authorization.deny([request.verb, request.group, request.version, request.resource, request.subresource,
      request.namespace, request.name, request.path].concat(request.groups).join(","));
  }
  if (word == "cannot") return authorization.fail(outOfDate);
  if (word == "trap") throw new Error("trapped");
  return authorization.fail(`unknown vector: ${word}`);
});
