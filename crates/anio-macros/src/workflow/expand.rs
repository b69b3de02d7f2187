//! From a checked module to code. Cannot fail.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::Item;

use crate::listed::checks as expand_checks;
use crate::task::callback::callbacks_or_none;
use crate::task::check::{Target, Task};
use crate::task::expand;
use crate::workflow::check::{Workflow, has_tasks_from_elsewhere, is_before};

/// The module with its tasks, its workflow and the workflow's entry in the program's register.
pub(crate) fn workflow(workflow: Workflow) -> TokenStream {
    let Workflow { name, description, tasks, .. } = &workflow;
    let callbacks = callbacks_or_none(&workflow.callbacks);
    let nodes: Vec<_> = tasks
        .iter()
        .map(Task::ident)
        .map(|ident| quote!(<#ident as ::anio::__private::TaskType>::NODE))
        .collect();
    let checks = has_tasks_from_elsewhere(tasks).then(|| {
        let each = tasks.iter().enumerate().map(|(i, task)| {
            let conditions = check_conditions(tasks, i);
            let check =
                quote_spanned!(task.name_span=> const _: () = ::anio::__private::check_task(ALL, #i););
            quote!(#check #conditions)
        });
        let checks = expand_checks(each, &quote!(::anio::__private::check_rest));
        quote! {
            const _: () = {
                const TASKS: &[&::anio::__private::Node] = &[#(#nodes),*];
                #checks
            };
        }
    });
    let expanded: Vec<_> = tasks.iter().map(expand::task).collect();
    let doc = format!("The workflow `{name}`, built once.");
    let function = quote! {
        #[doc = #doc]
        #[allow(unreachable_pub, dead_code)]
        pub fn workflow() -> ::anio::__private::Workflow {
            static WORKFLOW: ::anio::__private::OnceLock<::anio::__private::Workflow> =
                ::anio::__private::OnceLock::new();
            ::core::clone::Clone::clone(
                WORKFLOW.get_or_init(|| ::anio::__private::build(#name, #description, &[#(#nodes),*], #callbacks)),
            )
        }

        ::anio::__private::inventory::submit! {
            ::anio::__private::Registered { name: #name, workflow }
        }

        #checks
    };
    module(workflow, &expanded, function)
}

/// A constant for each task that a condition asks about and that this module does not show to come before,
/// at its place.
fn check_conditions(tasks: &[Task], i: usize) -> TokenStream {
    let (paths, names): (Vec<_>, Vec<_>) =
        tasks[i].asked.iter().partition(|asked| matches!(asked.target, Target::Path(_)));
    let asked = paths.into_iter().chain(names).enumerate();
    asked
        .filter(|(_, asked)| !is_before(tasks, asked, i))
        .map(|(j, asked)| {
            let place = asked.target.to_token_stream().into_iter().last().map(|token| token.span());
            let place = place.unwrap_or_else(proc_macro2::Span::call_site);
            quote_spanned!(place=> const _: () = ::anio::__private::check_asked(ALL, #i, #j);)
        })
        .collect()
}

/// What stands in for a module that has errors, so that what names it has none.
pub(crate) fn stand_in(workflow: Workflow) -> TokenStream {
    let tasks = &workflow.tasks;
    let first = |(i, task): &(usize, &Task)| !tasks[..*i].iter().any(|other| other.ident() == task.ident());
    let expanded: Vec<_> =
        tasks.iter().enumerate().filter(first).map(|(_, task)| expand::stand_in(task)).collect();
    let function = (!workflow.has_reserved_name()).then(|| {
        quote! {
            #[allow(unreachable_pub, dead_code)]
            pub fn workflow() -> ::anio::__private::Workflow {
                ::core::unreachable!()
            }
        }
    });
    module(workflow, &expanded, function.unwrap_or_default())
}

fn module(workflow: Workflow, tasks: &[TokenStream], function: TokenStream) -> TokenStream {
    let Workflow { mut module, others, .. } = workflow;
    let items =
        others.into_iter().chain(tasks.iter().cloned().chain([function]).map(Item::Verbatim)).collect();
    if let Some((_, content)) = &mut module.content {
        *content = items;
    }
    quote!(#module)
}
