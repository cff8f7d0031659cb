//! What look-ups find.

use crate::json;

/// The JSON type of a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Absent,
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    kind: Kind,
    text: String,
}

impl Value {
    pub(crate) fn new(kind: Kind, text: String) -> Value {
        Value { kind, text }
    }

    pub(crate) fn absent() -> Value {
        Value::new(Kind::Absent, String::new())
    }

    /// Makes a value of JSON; nothing of what is none, or nested more than 512 deep.
    pub fn parse(json: &str) -> Option<Value> {
        json::parse(json)
    }

    /// Is [`Kind::Absent`] when there is nothing.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Reports whether there is something, be it null.
    pub fn exists(&self) -> bool {
        self.kind != Kind::Absent
    }

    /// A string's content, without quotes and escapes; true, false, null or a number as JSON has it; an array or object as
    /// JSON; and "" when there is nothing.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same as [`Value::text`], to keep.
    pub fn into_text(self) -> String {
        self.text
    }

    /// The content if this is a string, and nothing else.
    pub fn string(&self) -> Option<&str> {
        Some(self.text.as_str()).filter(|_| self.kind == Kind::String)
    }

    /// Reports whether this is the boolean true.
    pub fn is_true(&self) -> bool {
        self.kind == Kind::Boolean && self.text == "true"
    }

    /// The number if this is one without fraction and exponent that 64 bits hold.
    pub fn integer(&self) -> Option<i64> {
        self.text.parse().ok().filter(|_| self.kind == Kind::Number)
    }

    /// Looks up a JSON pointer in an array or object. Of members of one name the last counts.
    ///
    /// # Panics
    ///
    /// When the pointer is malformed.
    pub fn at(&self, pointer: &str) -> Value {
        if pointer.is_empty() {
            return self.clone();
        }
        assert!(pointer.starts_with('/'), "a JSON pointer begins with /: {pointer}");
        pointer[1..].split('/').fold(self.clone(), |value, element| value.child(&unescaped(element)))
    }

    fn child(&self, element: &str) -> Value {
        let found = match self.kind {
            Kind::Array => index(element).and_then(|i| self.items().into_iter().nth(i)),
            Kind::Object => self.members().into_iter().rev().find(|(key, _)| key == element).map(|(_, value)| value),
            _ => None,
        };
        found.unwrap_or_else(Value::absent)
    }

    /// The elements of an array. Anything else has none.
    pub fn items(&self) -> Vec<Value> {
        match self.kind {
            Kind::Array => json::items(&self.text),
            _ => Vec::new(),
        }
    }

    /// The members of an object, in their order. Anything else has none.
    pub fn members(&self) -> Vec<(String, Value)> {
        match self.kind {
            Kind::Object => json::members(&self.text),
            _ => Vec::new(),
        }
    }
}

/// An array's index as RFC 6901 has it: no sign and no zero in front.
fn index(element: &str) -> Option<usize> {
    let plain = element.bytes().all(|b| b.is_ascii_digit()) && (element.len() == 1 || !element.starts_with('0'));
    element.parse().ok().filter(|_| plain)
}

/// Takes the escapes out of a pointer's element.
fn unescaped(element: &str) -> String {
    let mut text = String::with_capacity(element.len());
    let mut characters = element.chars();
    while let Some(character) = characters.next() {
        match character {
            '~' => text.push(match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => panic!("a JSON pointer has ~ without 0 or 1 behind it: {element}"),
            }),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Value {
        Value::parse(json).unwrap()
    }

    #[test]
    fn pointers_lead_into_values() {
        let value = parsed(r#" {"a/b": [1, {"m~n": "ü\n"}], "": "empty", "twice": 1, "twice": 2, "null": null} "#);
        for (pointer, want) in [
            ("/a~1b/0", (Kind::Number, "1")),
            ("/a~1b/1/m~0n", (Kind::String, "ü\n")),
            ("/a~1b/01", (Kind::Absent, "")),
            ("/a~1b/-", (Kind::Absent, "")),
            ("/a~1b/+1", (Kind::Absent, "")),
            ("/a~1b/2", (Kind::Absent, "")),
            ("/a~1b/", (Kind::Absent, "")),
            ("/a~1b/99999999999999999999", (Kind::Absent, "")),
            ("/", (Kind::String, "empty")),
            ("/twice", (Kind::Number, "2")),
            ("/null", (Kind::Null, "null")),
            ("/null/below", (Kind::Absent, "")),
            ("/nothing", (Kind::Absent, "")),
        ] {
            let got = value.at(pointer);
            assert_eq!((got.kind(), got.text()), want, "{pointer}");
        }
        assert_eq!(value.at(""), value);
    }

    #[test]
    #[should_panic(expected = "a JSON pointer begins with /")]
    fn a_pointer_without_slash_is_a_panic() {
        parsed("{}").at("a");
    }

    #[test]
    #[should_panic(expected = "~ without 0 or 1")]
    fn a_pointer_with_half_an_escape_is_a_panic() {
        parsed(r#"{"a":1}"#).at("/~");
    }

    #[test]
    fn integers_are_of_64_bits() {
        for (json, want) in [
            ("0", Some(0)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1.0", None),
            ("1e3", None),
            ("\"1\"", None),
        ] {
            assert_eq!(parsed(json).integer(), want, "{json}");
        }
    }
}
