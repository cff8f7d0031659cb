import { field, onConfigure } from "gatehouse";
import { allow, deny, handle, Request, Response } from "gatehouse/admission";

export * from "gatehouse/abi";
export { admit } from "gatehouse/admission"; // the role it plays

let label = "owner";

onConfigure((): string | null => {
  label = field("/label").or(label);
  return null; // or why the settings are refused
});

handle((request: Request): Response => {
  if (request.kind == "Pod" && !request.label(label).exists) return deny(`set the label ${label}`);
  return allow();
});
