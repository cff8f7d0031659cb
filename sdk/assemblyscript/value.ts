import { keysOf } from "./keys";

/** The JSON type of a Value. */
export enum Kind {
  Absent,
  Null,
  Boolean,
  Number,
  String,
  Array,
  Object,
  /** Nothing could be found out; only call gives such values. */
  Failure,
}

/** What field found, or call was answered. */
export class Value {
  constructor(
    readonly kind: Kind,
    /**
     * A string's content, without quotes; true, false, null or a number as JSON has it; an array or object as JSON; of a
     * failure why; and "" when there is nothing.
     */
    readonly text: string,
  ) {}

  /** The value that is not there. */
  static readonly absent: Value = new Value(Kind.Absent, "");

  /** Whether there is something, be it null. */
  get exists(): bool { return this.kind != Kind.Absent; }

  /** Whether the value is true. */
  get bool(): bool { return this.kind == Kind.Boolean && this.text == "true"; }

  /** A number's value, and NaN of anything else. */
  get number(): f64 { return this.kind == Kind.Number ? parseFloat(this.text) : NaN; }

  /** The names of an object's members; none of anything else. */
  keys(): string[] { return this.kind == Kind.Object ? keysOf(this.text) : []; }

  /** A string's content, and otherwise what is given. */
  or(otherwise: string): string { return this.kind == Kind.String ? this.text : otherwise; }
}
