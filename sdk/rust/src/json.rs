//! JSON: reading what plugins are given, and [`Json`] for what they write.

use std::fmt;

use crate::{Kind, Value};

/// A JSON value in the making.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Json {
    Null,
    Boolean(bool),
    Integer(i64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// JSON as it is. Nobody checks it before the server does.
    Raw(String),
}

impl Json {
    /// An object with these members.
    pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
        Json::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::String(text.to_owned())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json::String(text)
    }
}

impl From<bool> for Json {
    fn from(boolean: bool) -> Json {
        Json::Boolean(boolean)
    }
}

impl From<i64> for Json {
    fn from(number: i64) -> Json {
        Json::Integer(number)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(items: Vec<T>) -> Json {
        Json::Array(items.into_iter().map(Into::into).collect())
    }
}

impl Json {
    /// The JSON, as Display has it: without a formatter in between, which takes longer than many a plugin's own work.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(256);
        self.put(&mut text);
        text
    }

    fn put(&self, to: &mut String) {
        match self {
            Json::Null => to.push_str("null"),
            Json::Boolean(boolean) => to.push_str(if *boolean { "true" } else { "false" }),
            Json::Integer(number) => to.push_str(&number.to_string()),
            Json::String(text) => quote(to, text),
            Json::Array(items) => {
                to.push('[');
                for (i, item) in items.iter().enumerate() {
                    to.push_str(if i > 0 { "," } else { "" });
                    item.put(to);
                }
                to.push(']');
            }
            Json::Object(members) => {
                to.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    to.push_str(if i > 0 { "," } else { "" });
                    quote(to, key);
                    to.push(':');
                    value.put(to);
                }
                to.push('}');
            }
            Json::Raw(json) => to.push_str(json),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn quote(to: &mut String, text: &str) {
    to.push('"');
    let mut rest = text;
    // All of these are ASCII, so that no character need be decoded to find them.
    while let Some(at) = rest.bytes().position(|c| c < b' ' || c == b'"' || c == b'\\') {
        to.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            control if control < b' ' => to.push_str(&format!("\\u{control:04x}")),
            special => to.extend(['\\', char::from(special)]),
        }
        rest = &rest[at + 1..];
    }
    to.push_str(rest);
    to.push('"');
}

const DEEPEST: usize = 512;

/// Reads JSON from its beginning. Each method moves over what it has read, and returns nothing of what is not as it should be.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.peek().map_or(false, &wanted) {
            self.at += 1;
        }
        self.at - start
    }

    fn space(&mut self) {
        self.skip(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn accept(&mut self, wanted: &[u8]) -> bool {
        let found = self.peek().map_or(false, |b| wanted.contains(&b));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        Some(()).filter(|_| self.accept(&[wanted]))
    }

    fn literal(&mut self, literal: &str) -> Option<()> {
        let found = self.text[self.at..].starts_with(literal);
        self.at += if found { literal.len() } else { 0 };
        Some(()).filter(|_| found)
    }

    fn digits(&mut self) -> Option<()> {
        Some(()).filter(|_| self.skip(|b| b.is_ascii_digit()) > 0)
    }

    fn number(&mut self) -> Option<()> {
        self.accept(b"-");
        if !self.accept(b"0") {
            self.digits()?;
        }
        if self.accept(b".") {
            self.digits()?;
        }
        if self.accept(b"eE") {
            self.accept(b"+-");
            self.digits()?;
        }
        Some(())
    }

    /// Reads the four digits of a \u escape.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        let unit = digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))?;
        self.at += 4;
        Some(unit)
    }

    /// Reads a \u escape behind its u, both halves of a pair; half a pair is U+FFFD.
    fn rune(&mut self) -> Option<char> {
        let high = self.unit()?;
        if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
            let behind_high = self.at;
            self.at += 2;
            let low = self.unit()?;
            if (0xdc00..0xe000).contains(&low) {
                return char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            }
            self.at = behind_high; // another escape, by itself
        }
        Some(char::from_u32(high).unwrap_or('\u{fffd}'))
    }

    fn string(&mut self) -> Option<String> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            let start = self.at;
            self.skip(|b| b >= b' ' && b != b'"' && b != b'\\');
            string.push_str(&self.text[start..self.at]);
            let end = self.peek()?;
            self.at += 1;
            match end {
                b'"' => return Some(string),
                b'\\' => {}
                _ => return None, // a control character
            }
            let escaped = self.peek()?;
            self.at += 1;
            string.push(match escaped {
                b'"' | b'\\' | b'/' => char::from(escaped),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.rune()?,
                _ => return None,
            });
        }
    }

    /// Reads an array, or an object, and shows each of its values to `each`, with its key if it has one.
    fn bracketed(&mut self, depth: usize, mut each: impl FnMut(Option<String>, &mut Self) -> Option<()>) -> Option<()> {
        let object = self.peek() == Some(b'{');
        let close = if object { b'}' } else { b']' };
        self.at += 1;
        self.space();
        if depth == DEEPEST || self.accept(&[close]) {
            return Some(()).filter(|_| depth < DEEPEST);
        }
        loop {
            self.space();
            let mut key = None;
            if object {
                key = Some(self.string()?);
                self.space();
                self.expect(b':')?;
                self.space();
            }
            each(key, self)?;
            self.space();
            if !self.accept(b",") {
                return self.expect(close);
            }
        }
    }

    /// Reads a value without making anything of it.
    fn pass(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' | b'[' => {
                // What is behind a type parameter must not depend on the depth, or there would be no end of types.
                let mut deeper: &mut dyn FnMut(Option<String>, &mut Self) -> Option<()> = &mut |_, r| r.pass(depth + 1);
                self.bracketed(depth, &mut deeper)
            }
            b'"' => self.string().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn value(&mut self) -> Option<Value> {
        let start = self.at;
        let kind = match self.peek()? {
            b'"' => return self.string().map(|s| Value::new(Kind::String, s)),
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b't' | b'f' => Kind::Boolean,
            b'n' => Kind::Null,
            _ => Kind::Number,
        };
        self.pass(0)?;
        Some(Value::new(kind, self.text[start..self.at].to_owned()))
    }
}

/// Makes a value of JSON.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader::new(text);
    reader.space();
    let value = reader.value()?;
    reader.space();
    Some(value).filter(|_| reader.at == text.len())
}

/// The elements of an array's text, as far as they can be read.
pub(crate) fn items(array: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let _ = Reader::new(array).bracketed(0, |_, reader| {
        items.push(reader.value()?);
        Some(())
    });
    items
}

/// The members of an object's text, as far as they can be read.
pub(crate) fn members(object: &str) -> Vec<(String, Value)> {
    let mut members = Vec::new();
    let _ = Reader::new(object).bracketed(0, |key, reader| {
        members.push((key.unwrap_or_default(), reader.value()?));
        Some(())
    });
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_json() {
        let value = Json::object([
            ("a\"\\", Json::from("ü\u{1}\n\u{7f}🚪</")),
            ("list", vec![1, -2, i64::MIN].into()),
            ("empty", Json::Array(Vec::new())),
            ("nothing", Json::Null),
            ("yes", true.into()),
            ("raw", Json::Raw("1.5".to_owned())),
            ("object", Json::object([])),
        ]);
        let want = concat!(
            r#"{"a\"\\":"ü\u0001\u000a"#,
            "\u{7f}",
            r#"🚪</","list":[1,-2,-9223372036854775808],"empty":[],"nothing":null,"yes":true,"raw":1.5,"object":{}}"#,
        );
        assert_eq!(value.to_string(), want);
        assert!(parse(want).is_some());
    }

    #[test]
    fn escapes_are_taken_out() {
        for (json, want) in [
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00fc\ud83d\udeaa""#, "ü🚪"),
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\udeaa\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ud83d\ud83d\udeaa""#, "\u{fffd}🚪"),
        ] {
            assert_eq!(parse(json).unwrap().text(), want, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "{1:2}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "tru",
            "nulll",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "\"\\ud83d\\u12\"",
            "\"\n\"",
            "[1]]",
            "1 2",
            "\u{feff}1",
            "\"\\u+123\"",
            "\"\\uü1\"",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(DEEPEST)).is_some());
        assert_eq!(parse(&nested(DEEPEST + 1)), None);
        assert_eq!(parse(&"[".repeat(1 << 20)), None);
    }
}
