//! Callbacks: `on_success = path`, `on_failure = path`, of a task or of a workflow.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Path;
use syn::parse::Parser;

use crate::entry::{Entry, Value};
use crate::errors::Errors;

/// The functions that are called when a task run, or a run, has ended.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) on_success: Option<Path>,
    pub(crate) on_failure: Option<Path>,
}

impl Callbacks {
    /// Takes an entry `on_success` or `on_failure`.
    pub(crate) fn read(&mut self, entry: &Entry, errors: &mut Errors) {
        let path = errors.take(path(entry));
        if entry.key == "on_success" {
            self.on_success = path;
        } else {
            self.on_failure = path;
        }
    }
}

fn path(entry: &Entry) -> syn::Result<Path> {
    let parameters = if entry.key == "on_success" {
        "name: &str, context: &Context"
    } else {
        "name: &str, error: &TaskError, context: &Context"
    };
    let message = format!(
        "`{}` is the path of an `async fn({parameters}) -> Result<(), E>`, such as `notify` or `alerts::notify`",
        entry.key
    );
    match &entry.value {
        Value::Assigned(tokens) => {
            Path::parse_mod_style.parse2(tokens.clone()).map_err(|_| entry.at_value(tokens, message))
        }
        Value::Nothing | Value::List(_) => Err(syn::Error::new_spanned(&entry.key, message)),
    }
}

/// The value of a `Callbacks` of the core's; `None` when there are none.
pub(crate) fn callbacks(callbacks: &Callbacks) -> Option<TokenStream> {
    let Callbacks { on_success, on_failure } = callbacks;
    if on_success.is_none() && on_failure.is_none() {
        return None;
    }
    let option = |path: Option<&Path>, has_failed| {
        let callback = path.map(|path| callback(path, has_failed));
        callback.map_or_else(
            || quote!(::core::option::Option::None),
            |callback| quote!(::core::option::Option::Some(#callback)),
        )
    };
    let (success, failure) = (option(on_success.as_ref(), false), option(on_failure.as_ref(), true));
    Some(quote! {
        {
            use ::anio::__private::{ViaBox as _, ViaInto as _, ViaNothing as _};
            ::anio::__private::Callbacks { on_success: #success, on_failure: #failure }
        }
    })
}

/// The same, also when there are none.
pub(crate) fn callbacks_or_none(these: &Callbacks) -> TokenStream {
    callbacks(these).unwrap_or_else(|| quote!(::core::default::Default::default()))
}

/// A closure that calls the function, in such a way that what does not fit is shown under its path.
fn callback(path: &Path, has_failed: bool) -> TokenStream {
    let place = place(path);
    let local = |name| Ident::new(name, place);
    let (ending, name, failure, context, error) = (
        local("__anio_ending"),
        local("__anio_name"),
        local("__anio_failure"),
        local("__anio_context"),
        local("__anio_error"),
    );
    let convert = quote_spanned!(place=> (&&&::anio::__private::Probe::of(&#error)).convert(#error));
    let read_failure = has_failed.then(|| {
        quote! {
            let #failure = #ending.error();
            let #failure: &::anio::__private::TaskError = &#failure;
        }
    });
    let failure = has_failed.then(|| quote!(#failure,));
    let called = quote_spanned! {place=>
        ::anio::__private::called(#path(#name, #failure #context))
    };
    quote_spanned! {place=>
        ::anio::__private::Callback::new(|#ending: ::anio::__private::Ending| async move {
            let #name: &::core::primitive::str = &#ending.name;
            #read_failure
            let #context: &::anio::__private::Context = &#ending.context;
            match #called.await {
                ::core::result::Result::Ok(_done) => ::core::result::Result::Ok(()),
                ::core::result::Result::Err(#error) => ::core::result::Result::Err(#convert),
            }
        })
    }
}

/// Where a path is told of: its last segment.
pub(crate) fn place(path: &Path) -> Span {
    path.segments.last().map_or_else(Span::call_site, |last| last.ident.span())
}
