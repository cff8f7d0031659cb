//! The ABI (sdk/SPEC.md): memory that host and guest share, and the functions the host provides. All unsafe code is here.

use crate::{Kind, Value};

/// What a function of the host answers.
struct Answer {
    kind: u32,
    bytes: Vec<u8>,
}

impl Answer {
    fn text(self) -> String {
        String::from_utf8(self.bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }
}

const OBJECT: u32 = 6;

pub(crate) fn field(pointer: &str) -> Result<Value, String> {
    let answer = sys::field(pointer);
    let kind = match answer.kind {
        0 => Kind::Absent,
        1 => Kind::Null,
        2 => Kind::Boolean,
        3 => Kind::Number,
        4 => Kind::String,
        5 => Kind::Array,
        OBJECT => Kind::Object,
        _ => return Err(answer.text()),
    };
    Ok(Value::new(kind, answer.text()))
}

pub(crate) fn call(name: &str, payload: &[u8]) -> Result<Vec<u8>, String> {
    let answer = sys::call(name, payload);
    if answer.kind > OBJECT {
        return Err(answer.text());
    }
    Ok(answer.bytes)
}

pub(crate) use sys::log;

#[cfg(target_arch = "wasm32")]
pub(crate) use sys::print_error;

#[cfg(target_arch = "wasm32")]
mod sys {
    use super::Answer;

    mod gatehouse {
        #[link(wasm_import_module = "gatehouse")]
        extern "C" {
            pub fn log(level: u32, text: *const u8, n: usize);
            pub fn field(pointer: *const u8, n: usize, buffer: *mut u8, size: usize) -> u64;
            pub fn host_call(name: *const u8, n: usize, payload: *const u8, m: usize, buffer: *mut u8, size: usize) -> u64;
            pub fn host_read(buffer: *mut u8, size: usize) -> usize;
        }
    }

    /// A buffer of WASI's.
    #[repr(C)]
    struct IoVector {
        data: *const u8,
        n: usize,
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        fn fd_write(file: u32, vectors: *const IoVector, n: usize, written: *mut usize) -> u32;
    }

    pub fn log(level: u32, text: &str) {
        // SAFETY: the host reads the text, which outlives the call, and nothing else.
        unsafe { gatehouse::log(level, text.as_ptr(), text.len()) }
    }

    pub(super) fn field(pointer: &str) -> Answer {
        // SAFETY: the host reads the pointer and writes to the buffer, no more than its size; both outlive the call.
        receive(|buffer| unsafe { gatehouse::field(pointer.as_ptr(), pointer.len(), buffer.as_mut_ptr(), buffer.len()) })
    }

    pub(super) fn call(name: &str, payload: &[u8]) -> Answer {
        // SAFETY: the host reads name and payload and writes to the buffer, no more than its size; all outlive the call.
        receive(|buffer| unsafe {
            gatehouse::host_call(name.as_ptr(), name.len(), payload.as_ptr(), payload.len(), buffer.as_mut_ptr(), buffer.len())
        })
    }

    /// Takes an answer out of a buffer that short ones fit in, or fetches it when it was too long for that.
    fn receive(ask: impl FnOnce(&mut [u8]) -> u64) -> Answer {
        let mut short = [0; 256];
        let packed = ask(&mut short);
        let (kind, n) = ((packed >> 32) as u32, packed as u32 as usize);
        if let Some(answer) = short.get(..n) {
            return Answer { kind, bytes: answer.to_vec() };
        }
        let mut bytes = vec![0; n];
        // SAFETY: the host writes to the vector's elements, no more than there are.
        let read = unsafe { gatehouse::host_read(bytes.as_mut_ptr(), bytes.len()) };
        bytes.truncate(read);
        Answer { kind, bytes }
    }

    /// Writes to standard error, whose first line the server adds to the cause of a failure.
    pub fn print_error(text: &str) {
        let vector = IoVector { data: text.as_ptr(), n: text.len() };
        let mut written = 0;
        // SAFETY: the host reads the one vector and its text, and writes one length; all outlive the call.
        unsafe { fd_write(2, &vector, 1, &mut written) };
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod sys {
    use super::Answer;
    use crate::testing;

    pub fn log(level: u32, text: &str) {
        println!("log {level} {text}");
    }

    pub(super) fn field(pointer: &str) -> Answer {
        let value = testing::look_up(pointer);
        Answer { kind: value.kind() as u32, bytes: value.into_text().into_bytes() }
    }

    pub(super) fn call(name: &str, _payload: &[u8]) -> Answer {
        Answer { kind: 7, bytes: format!("unknown host call {name:?}").into_bytes() }
    }
}
