import { Json } from "./json";

let take: (() => string | null) | null = null;

/**
 * Registers what takes the plugin's settings, which field looks up while it runs: field("/prefix"). It is called once,
 * before any review. A text refuses the settings and says why: the plugin does not come up, and the server's log holds the
 * text; null accepts them. Without it a plugin takes no settings.
 */
export function onConfigure(f: () => string | null): void { take = f; }

/** Gives the settings to the plugin. An empty answer means that they are accepted. */
export function configured(settings: string): u64 {
  const refusal = refused(settings);
  if (refusal === null) return 0;
  return Json.answer().raw(refusal).packed();
}

function refused(settings: string): string | null {
  const f = take;
  if (f) return f();
  return settings == "{}" ? null : "this plugin takes no settings";
}
