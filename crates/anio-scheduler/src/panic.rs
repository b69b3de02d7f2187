//! What a panic said, and where: the hook sees the place, `catch_unwind` only the message.

use std::any::Any;
use std::cell::RefCell;
use std::sync::Once;

use anio_core::TaskError;

thread_local! {
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the place of every panic for the thread that panics, and passes on to the hook from before.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            LOCATION.set(info.location().map(ToString::to_string));
            previous(info);
        }));
    });
}

/// The error for a panic that was caught on this thread.
pub(crate) fn caught(payload: &(dyn Any + Send)) -> TaskError {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = text.or_else(|| payload.downcast_ref::<String>().cloned());
    TaskError::Panicked {
        message: message.unwrap_or_else(|| "a panic without a message".to_owned()),
        location: LOCATION.take(),
    }
}
