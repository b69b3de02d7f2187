//! `workflow! { name: "..", tasks: [..] }`: free functions become a workflow.

mod expand;
mod parse;

use proc_macro2::TokenStream;

pub(crate) use self::expand::checks;
use crate::errors::Errors;

/// Expands `workflow! { input }`.
///
/// There is little to check here: which tasks there are and how they hang together only rustc knows,
/// and judges by constant evaluation.
pub(crate) fn expression(input: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let listed = parse::listed(input, &mut errors);
    match (listed, errors.into_compile_errors()) {
        (Some(listed), None) => expand::listed(&listed),
        (_, Some(errors)) => expand::stand_in(&errors),
        (None, None) => unreachable!("what is not read has left an error"),
    }
}
