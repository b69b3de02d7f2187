//! From a checked task to code. Cannot fail.
//!
//! The function is kept, and beside it stand
//!
//! ```text
//!   type load = Declared<Tag, R>                         how the task is named in types
//!   struct Tag                                           a marker, made for this task
//!   impl Tag<R> for Tag { NODE, definition, codec }      R is what the function returns
//! ```

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, Path, Type};

use crate::task::argument;
use crate::task::callback::{callbacks, place};
use crate::task::check::{Dependency, Edge, Kind, Target, Task};
use crate::task::condition::Condition;
use crate::task::form::{self, Form};
use crate::task::parse::{Backoff, BackoffKind, Options, RetryCondition};
use crate::task::types::no_option;

/// The function and its task.
pub(crate) fn task(task: &Task) -> TokenStream {
    let depends = refers(task.dependencies.iter().map(|dependency| &dependency.target));
    let asks = refers(task.asked.iter().map(|asked| &asked.target));
    around(task, &depends, &asks, &definition(task))
}

/// What stands in for a task that has errors, so that what names it has none.
pub(crate) fn stand_in(task: &Task) -> TokenStream {
    around(task, &refers([].into_iter()), &refers([].into_iter()), &quote!(::core::unreachable!()))
}

/// Other tasks, as a constant: first those by path, then those by name.
fn refers<'a>(targets: impl Iterator<Item = &'a Target>) -> TokenStream {
    let (mut nodes, mut names) = (Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Path(path) => nodes.push(quote!(<#path as ::anio::__private::TaskType>::NODE)),
            Target::Name(name) => names.push(quote!(::anio::__private::Name::new(#name))),
        }
    }
    quote!(::anio::__private::Refers { tasks: &[#(#nodes),*], names: &[#(#names),*] })
}

fn around(task: &Task, depends: &TokenStream, asks: &TokenStream, definition: &TokenStream) -> TokenStream {
    let Task { function, name, result, .. } = task;
    let (vis, ident) = (&function.vis, task.ident());
    let tag = format_ident!("__anio_{}", ident, span = ident.span());
    let shape = match task.form() {
        Form::Once => quote!(One),
        Form::Mapped | Form::Steps => quote!(Many),
        Form::Tree => quote!(Tree),
    };
    let doc = format!("The task `{name}`, named in types.");
    let (start, _) = ends(result);
    let is_option = task.form() == Form::Steps && no_option(result).is_none();
    let returned = if is_option { of_result("StepOf", result) } else { ok(result) };
    let element = quote_spanned!(start=> <Self as ::anio::__private::Tag<#result>>::Element);
    // The only place that demands that the output serialises; told under the function's return type.
    let codec = quote_spanned! {start=>
        ::anio::__private::Codec::<#element>::new((&&::anio::__private::Probe::<#element>::NEW).cloner())
    };
    quote! {
        // A task returns a `Result`, may be `async` and takes its parameters whether or not it needs to.
        #[allow(clippy::unnecessary_wraps, clippy::unused_async, clippy::needless_pass_by_value)]
        #function

        #[doc = #doc]
        #[allow(non_camel_case_types, dead_code, private_interfaces, unreachable_pub)]
        #vis type #ident = ::anio::__private::Declared<#tag, #result>;

        #[doc(hidden)]
        #[allow(non_camel_case_types, dead_code, missing_debug_implementations, unreachable_pub)]
        #vis struct #tag {}

        #[allow(private_interfaces, unused_imports, unused_qualifications, clippy::all, clippy::pedantic)]
        impl ::anio::__private::Tag<#result> for #tag {
            type Element = #returned;
            type Shape = ::anio::__private::#shape;

            const NODE: &'static ::anio::__private::Node = {
                // A static, which rustc looks at once; constants that refer to constants it walks again
                // for every path through the graph.
                static NODE: ::anio::__private::Node = ::anio::__private::Node {
                    name: ::anio::__private::Name::new(#name),
                    path: ::core::concat!(
                        ::core::module_path!(), "::", ::core::stringify!(#ident),
                        " (", ::core::file!(), ":", ::core::line!(), ")"
                    ),
                    definition: <#tag as ::anio::__private::Tag<#result>>::definition,
                    depends: #depends,
                    asks: #asks,
                };
                &NODE
            };

            fn definition() -> ::anio::__private::TaskDefinition {
                #definition
            }

            fn codec() -> ::anio::__private::Codec<<Self as ::anio::__private::Tag<#result>>::Element> {
                use ::anio::__private::{ViaClone as _, ViaJson as _};
                #codec
            }
        }
    }
}

fn definition(task: &Task) -> TokenStream {
    let Task { name, result, source_hash, .. } = task;
    let dependencies = task.dependencies.iter().map(dependency);
    let options = options(&task.options, task.function.sig.asyncness.is_some());
    let uses_context = task.has(|kind| matches!(kind, Kind::Context { .. }));
    let check_input = task.arguments.iter().find_map(|argument| match &argument.kind {
        Kind::Input { inner, .. } => {
            Some(quote!(::core::option::Option::Some(::anio::__private::check_input::<#inner>)))
        }
        _ => None,
    });
    let check_input = check_input.unwrap_or_else(|| quote!(::core::option::Option::None));
    let condition = task.condition.as_ref().map(|condition| {
        let condition = self::condition(condition);
        quote!(condition: ::core::option::Option::Some(#condition),)
    });
    let element = quote!(<Self as ::anio::__private::Tag<#result>>::Element);
    let until = task.until.as_ref().map(|path| {
        let fold = form::fold(path, &element);
        quote!(until: ::core::option::Option::Some(#fold),)
    });
    let steps = (task.form() == Form::Steps).then(|| quote!(steps: true,));
    let check_pairs = check_pairs(task);
    let callbacks = callbacks(&task.callbacks).map(|callbacks| quote!(callbacks: #callbacks,));
    let body = body(task);
    quote! {
        use ::anio::__private::{ViaBox as _, ViaClone as _, ViaInto as _, ViaJson as _, ViaNothing as _};
        #check_pairs
        ::anio::__private::TaskDefinition {
            dependencies: ::anio::__private::Vec::from([#(#dependencies),*]),
            options: #options,
            #condition
            #callbacks
            #until
            #steps
            output_type: ::anio::__private::type_name::<#element>(),
            uses_context: #uses_context,
            gather: <<Self as ::anio::__private::Tag<#result>>::Shape as ::anio::__private::Shape>::gather::<Self, #result>(),
            check_input: #check_input,
            body_hash: #source_hash,
            ..::anio::__private::TaskDefinition::new(#name, #body)
        }
    }
}

fn dependency(dependency: &Dependency) -> TokenStream {
    let (task, edge) = match &dependency.target {
        Target::Name(name) => (quote!(#name), quote!(Order)),
        Target::Path(path) => {
            let edge = match dependency.edge {
                Edge::Order => quote!(Order),
                Edge::Value => quote!(Value),
                Edge::Settled => quote!(Settled),
                Edge::Each(place) => {
                    let path = respan(path.to_token_stream(), place);
                    quote_spanned!(place=> Each(::anio::__private::count::<#path>))
                }
                Edge::Pairs(place) => {
                    let path = respan(path.to_token_stream(), place);
                    quote_spanned!(place=> Pairs(::anio::__private::count::<#path>))
                }
            };
            (quote!(<#path as ::anio::__private::TaskType>::NAME), edge)
        }
    };
    quote! {
        ::anio::__private::Dependency {
            task: ::core::convert::Into::into(#task),
            edge: ::anio::__private::Edge::#edge,
        }
    }
}

fn condition(condition: &Condition) -> TokenStream {
    match condition {
        Condition::Always => quote!(::anio::__private::Condition::Always),
        Condition::Group(word, conditions) => {
            let word = Ident::new(word, Span::call_site());
            let conditions = conditions.iter().map(self::condition);
            quote!(::anio::__private::Condition::#word([#(#conditions),*]))
        }
        Condition::Task(became, target) => {
            let became = Ident::new(became, Span::call_site());
            let name = match target {
                Target::Path(path) => quote!(<#path as ::anio::__private::TaskType>::NAME),
                Target::Name(name) => name.to_token_stream(),
            };
            quote!(::anio::__private::Condition::#became(#name))
        }
        Condition::Value(key, test, other) => {
            let test = Ident::new(test, Span::call_site());
            quote!(::anio::__private::Condition::value(#key).#test(#other))
        }
    }
}

fn options(options: &Options, is_async: bool) -> TokenStream {
    let lane = match (is_async, options.blocking) {
        (true, _) => quote!(Async),
        (false, None) => quote!(Cpu),
        (false, Some(_)) => quote!(Blocking),
    };
    let retry = options.retry.as_ref().map(|retry| {
        let attempts = retry.attempts;
        let backoff = backoff(&retry.backoff);
        let jitter = if retry.jitter { quote!(Full) } else { quote!(None) };
        quote! {
            .retry(
                ::anio::__private::RetryPolicy::attempts(#attempts)
                    .with_backoff(#backoff)
                    .with_jitter(::anio::__private::Jitter::#jitter)
            )
        }
    });
    let condition = options.retry_condition.as_ref().map(|condition| match condition {
        RetryCondition::Word(variant, span) => {
            let variant = Ident::new(variant, *span);
            quote!(.retry_condition(::anio::__private::RetryCondition::#variant))
        }
        RetryCondition::When(path) => {
            quote!(.retry_condition(::anio::__private::RetryCondition::When(#path)))
        }
    });
    let timeout = options.timeout.map(duration).map(|timeout| quote!(.timeout(#timeout)));
    let priority = options.priority.map(|priority| quote!(.priority(#priority)));
    let concurrency = options.concurrency.map(|concurrency| quote!(.concurrency(#concurrency)));
    let needs = options.needs.iter().map(|(resource, units)| quote!(.needs(#resource, #units)));
    let rate = options.rate.as_ref().map(|rate| quote!(.rate(::anio::__private::rate(#rate))));
    let pool = options.pool.as_ref().map(|pool| quote!(.pool(#pool)));
    quote! {
        ::anio::__private::TaskOptions::new()
            .lane(::anio::__private::Lane::#lane) #retry #condition #timeout #priority #concurrency #(#needs)* #rate #pool
    }
}

fn backoff(backoff: &Backoff) -> TokenStream {
    let first = duration(backoff.first);
    let kind = match backoff.kind {
        BackoffKind::Fixed => quote!(fixed),
        BackoffKind::Linear => quote!(linear),
        BackoffKind::Exponential => quote!(exponential),
    };
    let max = backoff.max.map(duration).map(|max| quote!(.max(#max)));
    quote!(::anio::__private::Backoff::#kind(#first)#max)
}

fn duration(duration: std::time::Duration) -> TokenStream {
    let ms = u64::try_from(duration.as_millis()).expect("a duration of at most 365 days fits");
    quote!(::anio::__private::Duration::from_millis(#ms))
}

/// The closure that reads the arguments, calls the function and stores what it returned.
fn body(task: &Task) -> TokenStream {
    let (ident, result) = (task.ident(), &task.result);
    let (call, context) = (local("call"), local("context"));
    let names: Vec<_> = (0..task.arguments.len()).map(|i| local(&format!("argument_{i}"))).collect();
    let arguments =
        task.arguments.iter().zip(&names).map(|(argument, name)| argument::bind(task, argument, name));
    let uses_context = task.has(|kind| matches!(kind, Kind::Context { .. }));
    let (take, writes) = if uses_context {
        (quote!(let mut #context = #call.take_context();), quote!(#context.into_writes()))
    } else {
        (quote!(), quote!(::core::default::Default::default()))
    };
    let wait = task.function.sig.asyncness.map(|word| quote_spanned!(word.span=> .await));
    let (start, _) = ends(result);
    // Under the return type, which is what is wrong where the function returns no `Result`.
    let mut function = ident.clone();
    function.set_span(function.span().located_at(start));
    let returned = quote_spanned! {start=>
        ::anio::__private::ResultType::into_result(#function(#(#names),*)#wait)
    };
    let (value, error) = (Ident::new("__anio_value", start), Ident::new("__anio_error", start));
    let convert = quote_spanned!(start=> (&&&::anio::__private::Probe::of(&#error)).convert(#error));
    let guard = task.guard.as_ref().map(|path| guard(task, path, &names));
    let finish = if task.form() == Form::Steps {
        let value = quote_spanned!(start=> ::anio::__private::Step::into_step(#value));
        quote!(::anio::__private::finish_step::<Self, #result>(&#call, #value, #writes))
    } else {
        quote!(::anio::__private::finish::<Self, #result>(&#call, #value, #writes))
    };
    let run = quote! {
        #[allow(unused_mut)]
        #take
        #(#arguments)*
        #guard
        match #returned {
            ::core::result::Result::Ok(#value) => #finish,
            ::core::result::Result::Err(#error) => ::core::result::Result::Err(#convert),
        }
    };
    // Under the function's name, which is where rustc tells of a future that is not `Send`.
    quote_spanned! {ident.span()=>
        ::anio::__private::body(|#call: ::anio::__private::TaskCall| async move { #run })
    }
}

/// Returns before the body where the function of the inputs says so; what does not fit is shown under its
/// path.
fn guard(task: &Task, path: &Path, names: &[Ident]) -> TokenStream {
    let place = place(path);
    let inputs = task.arguments.iter().zip(names).map(|(argument, name)| match &argument.ty {
        Type::Reference(reference) if reference.mutability.is_some() => respan(quote!(&*#name), place),
        Type::Reference(_) => respan(quote!(#name), place),
        _ => respan(quote!(&#name), place),
    });
    let shown = path.to_token_stream().to_string().replace(' ', "");
    let reason = format!("its condition `{shown}` does not hold");
    let holds = quote_spanned!(place=> ::anio::__private::Holds::holds(#path(#(#inputs),*)));
    let error = Ident::new("__anio_error", place);
    let convert = quote_spanned!(place=> (&&&::anio::__private::Probe::of(&#error)).convert(#error));
    quote_spanned! {place=>
        match #holds {
            ::core::result::Result::Ok(true) => {}
            ::core::result::Result::Ok(false) => {
                return ::core::result::Result::Err(::anio::__private::skipped(#reason));
            }
            ::core::result::Result::Err(#error) => return ::core::result::Result::Err(#convert),
        }
    }
}

/// Demands that a task over pairs returns what it is given two of; told under its return type.
fn check_pairs(task: &Task) -> Option<TokenStream> {
    let given = task.arguments.iter().find_map(|argument| match &argument.kind {
        Kind::Pair { inner, .. } => Some(inner),
        _ => None,
    })?;
    let returned = ok(&task.result);
    Some(quote!(::anio::__private::check_pairs::<#returned, #given>();))
}

/// `OkOf<R>`, from the first token of the type to its last.
fn ok(result: &Type) -> TokenStream {
    of_result("OkOf", result)
}

/// The same with another type that follows from what the function returns.
fn of_result(alias: &str, result: &Type) -> TokenStream {
    let (start, end) = ends(result);
    let alias = Ident::new(alias, start);
    let open = quote_spanned!(start=> ::anio::__private::#alias<);
    let close = quote_spanned!(end=> >);
    quote!(#open #result #close)
}

/// The same tokens at another place, where rustc then tells what is wrong with them.
pub(crate) fn respan(tokens: TokenStream, place: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(token.span().located_at(place));
            token
        })
        .collect()
}

/// A name for a binding. Hygiene alone does not keep it apart from a constant of the user's, which a
/// pattern would then mean; the prefix does.
pub(super) fn local(name: &str) -> Ident {
    format_ident!("__anio_{name}", span = Span::mixed_site())
}

/// The first and the last place of a type.
pub(super) fn ends(ty: &Type) -> (Span, Span) {
    let mut spans = ty.to_token_stream().into_iter().map(|token| token.span());
    let start = spans.next().unwrap_or_else(Span::call_site);
    (start, spans.last().unwrap_or(start))
}
