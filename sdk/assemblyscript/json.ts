import { pack } from "./host";

// @ts-ignore: decorator
@inline const quote: u8 = 0x22;
// @ts-ignore: decorator
@inline const comma: u8 = 0x2C;
// @ts-ignore: decorator
@inline const colon: u8 = 0x3A;
// @ts-ignore: decorator
@inline const backslash: u8 = 0x5C;
// @ts-ignore: decorator
@inline const replacement: u32 = 0xFFFD;

/**
 * Json writes JSON, as UTF-8. Its methods return it, so that calls can be strung together; commas come by themselves:
 *
 *     new Json().object().key("name").text("web").key("ports").array().number(80).end().end().toString()
 *
 * gives {"name":"web","ports":[80]}. It does not check that keys and values alternate.
 */
export class Json {
  private bytes: StaticArray<u8> = new StaticArray<u8>(256);
  private length: i32 = 0;
  private needsComma: bool = false;
  /** What closes the objects and arrays that are open, innermost last. */
  private closers: u8[] = [];

  /** The buffer in which answers are written to the host, emptied. */
  static answer(): Json { return answerBuffer.clear(); }

  /** Empties it. */
  clear(): this {
    this.length = 0;
    this.needsComma = false;
    this.closers.length = 0;
    return this;
  }

  /** Begins an object. */
  object(): this { return this.open(0x7B, 0x7D); }

  /** Begins an array. */
  array(): this { return this.open(0x5B, 0x5D); }

  /** Ends the innermost object or array. */
  end(): this {
    this.byte(this.closers.pop());
    this.needsComma = true;
    return this;
  }

  /** Writes a member's name; its value comes next. */
  key(name: string): this {
    this.text(name).byte(colon);
    this.needsComma = false;
    return this;
  }

  /** Writes a string. Half of a surrogate pair, which is no character, becomes U+FFFD. */
  text(value: string): this {
    this.separate();
    this.byte(quote);
    this.room(6 * value.length);
    for (let i = 0; i < value.length; i++) {
      const unit = <u32>value.charCodeAt(i);
      if (isHigh(unit) && i + 1 < value.length && isLow(value.charCodeAt(i + 1))) {
        this.codePoint(0x10000 + ((unit & 0x3FF) << 10) + (<u32>value.charCodeAt(++i) & 0x3FF));
      } else if (isHigh(unit) || isLow(unit)) {
        this.codePoint(replacement);
      } else {
        this.character(unit);
      }
    }
    return this.byte(quote);
  }

  /** Writes true or false. */
  bool(value: bool): this { return this.value(value ? "true" : "false"); }

  /** Writes an integer. */
  number(value: i64): this { return this.value(value.toString()); }

  /** Writes a value that is JSON already. */
  value(json: string): this {
    this.separate();
    return this.raw(json);
  }

  /** Writes what another has written. */
  nested(other: Json): this {
    this.separate();
    this.room(other.length);
    memory.copy(changetype<usize>(this.bytes) + this.length, changetype<usize>(other.bytes), other.length);
    this.length += other.length;
    return this;
  }

  /** Writes an array of strings. */
  texts(values: string[]): this {
    this.array();
    for (let i = 0; i < values.length; i++) this.text(values[i]);
    return this.end();
  }

  /** Writes what another has written, as a string in base64. */
  base64(other: Json): this {
    this.separate();
    this.byte(quote);
    this.room(4 * ((other.length + 2) / 3));
    for (let i = 0; i < other.length; i += 3) {
      const rest = other.length - i;
      const bits = (<u32>unchecked(other.bytes[i]) << 16)
        | (rest > 1 ? <u32>unchecked(other.bytes[i + 1]) << 8 : 0)
        | (rest > 2 ? <u32>unchecked(other.bytes[i + 2]) : 0);
      this.push(base64Digit(bits >> 18));
      this.push(base64Digit(bits >> 12));
      this.push(rest > 1 ? base64Digit(bits >> 6) : 0x3D);
      this.push(rest > 2 ? base64Digit(bits) : 0x3D);
    }
    return this.byte(quote);
  }

  /** Writes text as it is, without a comma before it. */
  raw(text: string): this {
    this.room(3 * text.length);
    this.length += <i32>String.UTF8.encodeUnsafe(changetype<usize>(text), text.length,
      changetype<usize>(this.bytes) + this.length, false, String.UTF8.ErrorMode.REPLACE);
    this.needsComma = true;
    return this;
  }

  /** What has been written. */
  toString(): string { return String.UTF8.decodeUnsafe(changetype<usize>(this.bytes), this.length); }

  /** Where it is, for the host; good until more is written. */
  packed(): u64 { return pack(changetype<usize>(this.bytes), this.length); }

  private open(opener: u8, closer: u8): this {
    this.separate();
    this.byte(opener);
    this.closers.push(closer);
    this.needsComma = false;
    return this;
  }

  /** Sets a value apart from the one before it. */
  private separate(): void {
    if (this.needsComma) this.byte(comma);
    this.needsComma = true;
  }

  /** Writes one character of a string that is not a surrogate. There must be room for 6 bytes. */
  private character(unit: u32): void {
    if (unit == quote || unit == backslash) {
      this.push(backslash);
      this.push(<u8>unit);
    } else if (unit < 0x20) {
      this.push(backslash);
      this.push(0x75); // u
      this.push(0x30);
      this.push(0x30);
      this.push(hexDigit(unit >> 4));
      this.push(hexDigit(unit & 15));
    } else {
      this.codePoint(unit);
    }
  }

  /** Writes a code point as UTF-8. There must be room for 4 bytes. */
  private codePoint(c: u32): void {
    if (c < 0x80) return this.push(<u8>c);
    if (c < 0x800) {
      this.push(<u8>(0xC0 | c >> 6));
    } else {
      if (c < 0x10000) {
        this.push(<u8>(0xE0 | c >> 12));
      } else {
        this.push(<u8>(0xF0 | c >> 18));
        this.push(<u8>(0x80 | c >> 12 & 0x3F));
      }
      this.push(<u8>(0x80 | c >> 6 & 0x3F));
    }
    this.push(<u8>(0x80 | c & 0x3F));
  }

  private byte(b: u8): this {
    this.room(1);
    this.push(b);
    return this;
  }

  /** Adds a byte for which there is room. */
  private push(b: u8): void { unchecked(this.bytes[this.length++] = b); }

  /** Makes room for n bytes more. */
  private room(n: i32): void {
    const wanted = this.length + n;
    if (wanted <= this.bytes.length) return;
    const larger = new StaticArray<u8>(max(wanted, 2 * this.bytes.length));
    memory.copy(changetype<usize>(larger), changetype<usize>(this.bytes), this.length);
    this.bytes = larger;
  }
}

const answerBuffer = new Json();

function isHigh(unit: u32): bool { return (unit & 0xFC00) == 0xD800; }

function isLow(unit: u32): bool { return (unit & 0xFC00) == 0xDC00; }

function hexDigit(n: u32): u8 { return <u8>(n < 10 ? 0x30 + n : 0x61 + n - 10); }

function base64Digit(bits: u32): u8 {
  const n = bits & 63;
  if (n < 26) return <u8>(0x41 + n);
  if (n < 52) return <u8>(0x61 + n - 26);
  if (n < 62) return <u8>(0x30 + n - 52);
  return n == 62 ? 0x2B : 0x2F;
}
