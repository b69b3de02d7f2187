//! From the entries of `workflow!` to an expression. Cannot fail.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;

use crate::listed::parse::Listed;
use crate::task::callback::callbacks_or_none;

/// A block that registers the workflow, has it checked, and gives it.
pub(crate) fn listed(listed: &Listed) -> TokenStream {
    let Listed { name, description, callbacks, tasks } = listed;
    let callbacks = callbacks_or_none(callbacks);
    let description = description.as_ref().map_or_else(|| quote!(""), ToTokens::to_token_stream);
    let nodes = tasks.iter().map(|task| quote!(<#task as ::anio::__private::TaskType>::NODE));
    let each = tasks.iter().enumerate().map(
        |(i, task)| quote_spanned!(span_of(task)=> const _: () = ::anio::__private::check_all_of(ALL, #i);),
    );
    let checks = checks(each, &quote_spanned!(name.span()=> ::anio::__private::check_rest));
    quote! {
        {
            const TASKS: &[&::anio::__private::Node] = &[#(#nodes),*];
            #checks

            fn workflow() -> ::anio::__private::Workflow {
                static WORKFLOW: ::anio::__private::OnceLock<::anio::__private::Workflow> =
                    ::anio::__private::OnceLock::new();
                ::core::clone::Clone::clone(
                    WORKFLOW.get_or_init(|| ::anio::__private::build(#name, #description, TASKS, #callbacks)),
                )
            }

            ::anio::__private::inventory::submit! {
                ::anio::__private::Registered { name: #name, workflow }
            }

            workflow()
        }
    }
}

/// Constants whose evaluation checks the tasks of `TASKS`: those for each, at its place, and one for all
/// together.
pub(crate) fn checks(each: impl Iterator<Item = TokenStream>, check_rest: &TokenStream) -> TokenStream {
    let each: Vec<_> = each.collect();
    let n_tasks = each.len();
    quote! {
        #[allow(long_running_const_eval)]
        const _: () = {
            const ALL: &::anio::__private::Closure = &::anio::__private::closure(TASKS);
            #(#each)*
            const _: () = #check_rest(ALL, #n_tasks);
        };
    }
}

/// The place of a task in the list: its last segment.
fn span_of(path: &Path) -> proc_macro2::Span {
    path.segments.last().map_or_else(proc_macro2::Span::call_site, |last| last.ident.span())
}

/// What stands in for a workflow that has errors.
pub(crate) fn stand_in(errors: &TokenStream) -> TokenStream {
    quote! {
        {
            #errors
            #[allow(unreachable_code)]
            {
                fn workflow() -> ::anio::__private::Workflow {
                    ::core::unreachable!()
                }
                workflow()
            }
        }
    }
}
