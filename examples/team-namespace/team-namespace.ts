// A gatehouse plugin: a team does what it wants in its own namespaces. Members of the group team:blue may do everything in
// the namespaces blue-shop, blue-test and so on; about all else others decide.

import { field, Kind, onConfigure } from "gatehouse";
import { allow, handle, noOpinion, Request, Response } from "gatehouse/authorization";

export * from "gatehouse/abi";
export { authorize } from "gatehouse/authorization";

/** What a team's group begins with; team-namespace.yaml may say otherwise. */
let prefix = "team:";

onConfigure((): string | null => {
  const given = field("/prefix");
  if (given.exists && (given.kind != Kind.String || given.text == "")) return "prefix: must be a text that is not empty";
  prefix = given.or(prefix);
  return null;
});

handle((request: Request): Response => {
  const namespace = request.namespace;
  if (namespace == "" || isNamespaceItself(request)) return noOpinion();
  const groups = request.groups;
  for (let i = 0; i < groups.length; i++) {
    const team = teamOf(groups[i]);
    if (team != "" && namespace.startsWith(team + "-")) return allow(`${namespace} belongs to team ${team}`);
  }
  return noOpinion();
});

/** A namespace is asked about as if it were within itself, but it is the cluster's: teams neither make nor delete it. */
function isNamespaceItself(request: Request): bool {
  return request.resource == "namespaces" && request.group == "";
}

/** The team that a group is, or "". */
function teamOf(group: string): string {
  return group.startsWith(prefix) ? group.substring(prefix.length) : "";
}
