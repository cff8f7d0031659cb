// A Pod must have the label owner, and one that has is marked: the job that the benchmark compares with a webhook.
import { allow, deny, handle, Request, Response } from "gatehouse/admission";

export * from "gatehouse/abi";
export { admit } from "gatehouse/admission"; // the role it plays

handle((request: Request): Response => {
  if (request.kind != "Pod") return allow();
  if (!request.label("owner").exists) return deny("set the label owner");
  return allow().setLabel(request, "gatehouse.dev/admitted-by", "owner-label");
});
