//! `#[workflow] mod`: the tasks of a module become a workflow.

mod check;
mod expand;
mod parse;

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// Expands `#[workflow(arguments)] item`.
pub(crate) fn attribute(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let module = match syn::parse2::<syn::ItemMod>(item.clone()) {
        Ok(module) => module,
        Err(error) => {
            let error = if syn::parse2::<syn::Item>(item.clone()).is_ok() {
                let message = "`#[workflow]` goes on a module: `#[workflow] mod orders { .. }`";
                syn::Error::new_spanned(item, message)
            } else {
                error
            };
            let error = error.into_compile_error();
            return quote!(#item #error);
        }
    };
    let mut errors = Errors::default();
    let Some(parsed) = parse::module(arguments, module, &mut errors) else {
        let errors = errors.into_compile_errors();
        return quote!(#item #errors);
    };
    let workflow = check::module(parsed, &mut errors);
    match errors.into_compile_errors() {
        None => expand::workflow(workflow),
        Some(errors) => {
            let stand_in = expand::stand_in(workflow);
            quote!(#stand_in #errors)
        }
    }
}
