#![doc = include_str!("../README.md")]
#![deny(unsafe_code, missing_docs)]

pub mod admission;
pub mod authentication;
pub mod authorization;
mod export;
#[allow(unsafe_code)] // the only file that needs it: it calls the host
mod host;
pub mod json;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod value;

#[doc(hidden)]
pub use export::exported;
pub use value::{Kind, Value};

/// Why a plugin cannot be configured, or cannot decide: any error, or a text. `?` makes one.
pub type Error = Box<dyn std::error::Error>;

/// What a plugin's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// A plugin, whatever roles it plays.
pub trait Plugin: Sized {
    /// Takes the settings, an object, once before any review. An error refuses them: the plugin does not come up, and the
    /// server's log says why. [`field`] looks up in the settings meanwhile.
    fn configure(settings: Value) -> Result<Self>;
}

/// Looks up a JSON pointer (RFC 6901) in the review at hand, `/request/object/metadata/name` for one. The server answers from
/// the object it has already decoded, which is far cheaper than parsing the review here. A pointer that leads nowhere gives a
/// value that does not exist.
///
/// # Panics
///
/// When the pointer is malformed.
pub fn field(pointer: &str) -> Value {
    match host::field(pointer) {
        Ok(value) => value,
        Err(why) => panic!("look-up of {pointer}: {why}"),
    }
}

/// Looks up the texts of an array: those at `pointer/0`, `pointer/1` and so on.
pub fn texts(pointer: &str) -> Vec<String> {
    (0..).map(|i| field(&format!("{pointer}/{i}"))).take_while(Value::exists).map(Value::into_text).collect()
}

/// Makes a JSON pointer of path elements, escaping what needs it.
///
/// ```
/// use gatehouse::pointer;
/// assert_eq!(pointer(&["metadata", "labels", "app.io/name"]), "/metadata/labels/app.io~1name");
/// ```
pub fn pointer(elements: &[&str]) -> String {
    let mut pointer = String::new();
    for element in elements {
        pointer.push('/');
        for character in element.chars() {
            match character {
                '~' => pointer.push_str("~0"),
                '/' => pointer.push_str("~1"),
                _ => pointer.push(character),
            }
        }
    }
    pointer
}

/// How grave a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// Writes one line to the server's log, which names the plugin. A call may log 16 KiB; more is dropped and counted.
pub fn log(level: Level, text: &str) {
    host::log(level as u32, text);
}

/// Asks the server for something that is not the plugin's to have by itself. Which names exist and what they may be asked is
/// the server's configuration; an unknown one is an error.
pub fn call(name: &str, payload: &[u8]) -> Result<Vec<u8>> {
    host::call(name, payload).map_err(Error::from)
}
