// What every plugin exports: export * from "gatehouse/abi".

import { makeRoom, payloadText } from "./host";
import { configured } from "./settings";

/** Says which version of the ABI this is. It is never called. */
export function gatehouse_abi_v1(): void {}

/** Says that the server need not write reviews down for admit: all is looked up. It is never called. */
export function admit_by_field(): void {}

/** Makes room for a payload. */
export function alloc(n: u32): usize { return makeRoom(n); }

/** Takes the plugin's settings. */
export function configure(payload: usize, n: u32): u64 { return configured(payloadText(payload, n)); }
