#![deny(warnings, missing_docs, unsafe_code, unused_qualifications, clippy::pedantic)]
//! Documentation, lints and other attributes stay on the function.

use anio::prelude::*;

/// A flow.
#[workflow]
pub mod flow {
    use super::Result;

    /// Loads a number.
    #[must_use]
    #[task]
    #[inline]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    /// A helper, no task.
    #[must_use]
    pub fn helper() -> u32 {
        3
    }

    /// Passes it on.
    #[anio::task]
    #[allow(clippy::needless_pass_by_value)]
    fn pass(load: u32) -> Result<u32> {
        Ok(load + helper())
    }
}

fn main() {
    assert_eq!(flow::workflow().graph().node_count(), 2);
}
