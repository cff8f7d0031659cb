// @ts-ignore: decorator
@inline const quote: i32 = 0x22;
// @ts-ignore: decorator
@inline const backslash: i32 = 0x5C;

/** The names of an object's members, in their order. The host has checked that it is JSON. */
export function keysOf(object: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  let atKey = false;
  for (let i = 0; i < object.length; i++) {
    const c = object.charCodeAt(i);
    if (c == quote) {
      const end = endOfString(object, i);
      if (depth == 1 && atKey) keys.push(unescaped(object, i + 1, end));
      atKey = false;
      i = end;
    } else if (c == 0x7B || c == 0x5B) { // { [
      depth++;
      atKey = c == 0x7B;
    } else if (c == 0x7D || c == 0x5D) { // } ]
      depth--;
    } else if (c == 0x2C) { // ,
      atKey = true;
    }
  }
  return keys;
}

/** The position of the quote that ends the string beginning at start. */
function endOfString(text: string, start: i32): i32 {
  let i = start + 1;
  while (i < text.length && text.charCodeAt(i) != quote) {
    i += text.charCodeAt(i) == backslash ? 2 : 1;
  }
  return i;
}

/** What a string's content between two positions stands for. */
function unescaped(text: string, start: i32, end: i32): string {
  let result = "";
  let plain = start;
  for (let i = start; i < end; i++) {
    if (text.charCodeAt(i) != backslash) continue;
    result += text.substring(plain, i);
    const c = text.charCodeAt(++i);
    if (c == 0x75) { // u
      result += String.fromCharCode(<i32>parseInt(text.substring(i + 1, i + 5), 16));
      i += 4;
    } else {
      result += escapeOf(c);
    }
    plain = i + 1;
  }
  return result + text.substring(plain, end);
}

/** What a letter after a backslash stands for. */
function escapeOf(letter: i32): string {
  switch (letter) {
    case 0x62: return "\b";
    case 0x66: return "\f";
    case 0x6E: return "\n";
    case 0x72: return "\r";
    case 0x74: return "\t";
    default: return String.fromCharCode(letter);
  }
}
