//! The entries of `workflow!`.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{LitStr, Path, Token, bracketed};

use crate::entry::{Between, entries};
use crate::errors::Errors;
use crate::names::check_literal;
use crate::task::callback::Callbacks;

/// A workflow as it was written.
pub(crate) struct Listed {
    pub(crate) name: LitStr,
    pub(crate) description: Option<LitStr>,
    pub(crate) callbacks: Callbacks,
    pub(crate) tasks: Vec<Path>,
}

struct Paths(Vec<Path>);

impl Parse for Paths {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let inner;
        bracketed!(inner in input);
        let paths = Punctuated::<Path, Token![,]>::parse_terminated(&inner)?;
        Ok(Self(paths.into_iter().collect()))
    }
}

/// Reads the entries; `None` when one that must be there is not, which has been noted.
pub(crate) fn listed(input: TokenStream, errors: &mut Errors) -> Option<Listed> {
    const KNOWN: [&str; 5] = ["name", "description", "tasks", "on_success", "on_failure"];
    let (mut name, mut description, mut tasks) = (None, None, None);
    let mut callbacks = Callbacks::default();
    let mut missing = vec!["name", "tasks"];
    for entry in entries("`workflow!`", input, Between::Colon, &KNOWN, errors) {
        missing.retain(|key| entry.key != key);
        match entry.key.to_string().as_str() {
            "name" => name = errors.take(entry.text("\"catalog\"")),
            "on_success" | "on_failure" => callbacks.read(&entry, errors),
            "description" => description = errors.take(entry.text("\"..\"")),
            _ => tasks = errors.take(entry.assigned::<Paths>("a list of tasks", "[load, other::task]")),
        }
    }
    if !missing.is_empty() {
        let message = format!(
            "`workflow!` wants `{}`: `workflow! {{ name: \"catalog\", tasks: [load, report] }}`",
            missing.join("` and `")
        );
        errors.at_span(Span::call_site(), message);
    }
    let (name, Paths(tasks)) = (name?, tasks?);
    check_literal("name", &name, errors);
    if tasks.is_empty() {
        errors.at(&name, "this workflow has no tasks");
    }
    for (i, task) in tasks.iter().enumerate() {
        if tasks[..i].contains(task) {
            errors.at(
                task,
                format!("`{}` is listed twice", task.to_token_stream().to_string().replace(' ', "")),
            );
        }
    }
    Some(Listed { name, description, callbacks, tasks })
}
