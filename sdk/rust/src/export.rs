//! What the host calls.

/// Says which roles a plugin plays, any of `Admission`, `Authentication` and `Authorization`, and makes the functions that the
/// host calls. A module has one plugin.
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($role:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            thread_local! {
                static PLUGIN: $crate::exported::Slot<$plugin> = $crate::exported::Slot::default();
            }

            #[no_mangle]
            pub extern "C" fn gatehouse_abi_v1() {}

            #[no_mangle]
            pub extern "C" fn alloc(n: usize) -> usize {
                $crate::exported::alloc(n)
            }

            #[no_mangle]
            pub extern "C" fn configure(_payload: usize, _n: usize) -> u64 {
                PLUGIN.with($crate::exported::configure)
            }

            $($crate::export!(@role $role PLUGIN);)+
        };
    };
    (@role Admission $plugin:ident) => {
        // The server need not write the review down: it is asked for when a plugin wants it.
        #[no_mangle]
        pub extern "C" fn admit_by_field() {}

        #[no_mangle]
        pub extern "C" fn admit(_payload: usize, _n: usize) -> u64 {
            $plugin.with(|p| $crate::exported::role(p, $crate::admission::answer))
        }
    };
    (@role Authentication $plugin:ident) => {
        #[no_mangle]
        pub extern "C" fn authenticate(_payload: usize, _n: usize) -> u64 {
            $plugin.with(|p| $crate::exported::role(p, $crate::authentication::answer))
        }
    };
    (@role Authorization $plugin:ident) => {
        #[no_mangle]
        pub extern "C" fn authorize(_payload: usize, _n: usize) -> u64 {
            $plugin.with(|p| $crate::exported::role(p, $crate::authorization::answer))
        }
    };
}

/// What [`export!`](crate::export!) needs; not for users.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod exported {
    use std::cell::RefCell;

    use crate::json::Json;
    use crate::{field, Plugin, Result};

    /// Holds the plugin once it is configured.
    pub type Slot<T> = RefCell<Option<T>>;

    thread_local! {
        /// The buffer that the host writes payloads to. It grows.
        static PAYLOAD: RefCell<Vec<u8>> = RefCell::default();
        /// Keeps the last answer until the host has copied it.
        static ANSWER: RefCell<String> = RefCell::default();
    }

    /// Makes room for a payload; 0 when there is none.
    pub fn alloc(n: usize) -> usize {
        PAYLOAD.with(|payload| {
            let mut payload = payload.borrow_mut();
            let more = n.saturating_sub(payload.len());
            if payload.try_reserve_exact(more).is_err() {
                return 0;
            }
            payload.resize(n, 0);
            payload.as_mut_ptr() as usize
        })
    }

    /// Makes the plugin of its settings; what it answers is why it cannot.
    pub fn configure<P: Plugin>(slot: &Slot<P>) -> u64 {
        #[cfg(target_arch = "wasm32")]
        std::panic::set_hook(Box::new(|panic| crate::host::print_error(&panic.to_string().replace('\n', " "))));
        match P::configure(field("")) {
            Ok(plugin) => {
                slot.replace(Some(plugin));
                0
            }
            Err(why) => packed(why.to_string()),
        }
    }

    /// Has the plugin answer one review.
    pub fn role<P>(slot: &Slot<P>, answer: impl FnOnce(&mut P) -> Result<Json>) -> u64 {
        packed(match slot.borrow_mut().as_mut() {
            Some(plugin) => answer(plugin).unwrap_or_else(failure).text(),
            None => failure("the plugin has not been configured".into()).text(),
        })
    }

    /// What a plugin answers that cannot decide.
    fn failure(why: crate::Error) -> Json {
        Json::object([
            ("apiVersion", "v1".into()),
            ("kind", "Status".into()),
            ("status", "Failure".into()),
            ("message", why.to_string().into()),
        ])
    }

    /// Keeps an answer and packs where it is.
    fn packed(answer: String) -> u64 {
        let (at, n) = (answer.as_ptr() as u64, answer.len() as u64);
        ANSWER.with(|kept| kept.replace(answer));
        at << 32 | n
    }
}
