//! `#[task]`: a function becomes a task.

mod argument;
pub(crate) mod callback;
pub(crate) mod check;
mod condition;
pub(crate) mod expand;
mod form;
pub(crate) mod parse;
mod types;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// Expands `#[task(arguments)] item`.
pub(crate) fn attribute(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let function = match syn::parse2::<syn::ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = if syn::parse2::<syn::Item>(item.clone()).is_ok() {
                syn::Error::new_spanned(item, "`#[task]` goes on a function")
            } else {
                error
            };
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let parsed = parse::task(arguments, function, &mut errors);
    let task = check::task(parsed, &check::Scope::Alone, &mut errors);
    match errors.into_compile_errors() {
        None => expand::task(&task),
        Some(errors) => {
            let stand_in = expand::stand_in(&task);
            quote!(#stand_in #errors)
        }
    }
}
