//! From an argument of the call to a parameter of the function.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Ident;

use crate::task::check::{Access, Argument, Kind, Target, Task};
use crate::task::expand::{ends, local, respan};

/// Binds one argument to a name, in such a way that a mismatch is shown under the parameter's type.
pub(super) fn bind(task: &Task, argument: &Argument, name: &Ident) -> TokenStream {
    let Argument { kind, ty } = argument;
    let (start, end) = ends(ty);
    let (call, context) = (local("call"), local("context"));
    let held = Ident::new("__anio_held", Span::mixed_site().located_at(start));
    let value = Ident::new("value", end);
    let inner = format_ident!("{name}_inner", span = start);
    let held_as =
        |expression: TokenStream| quote!(let #held = ::anio::__private::Held { value: #expression };);
    match kind {
        Kind::Output { position, access } => {
            let path = path(task, *position);
            let dependency = quote!(<#path as ::anio::__private::TaskType>::Output);
            match access {
                Access::Copy => quote_spanned! {start=>
                    let #held = ::anio::__private::Held::<#dependency> {
                        value: ::anio::__private::copied::<#path>(&#call, #position)?
                    };
                    let #name: #ty = #held.#value;
                },
                Access::Shared => quote_spanned! {start=>
                    let #inner = ::anio::__private::shared::<#path>(&#call, #position)?;
                    let #held = ::anio::__private::Held::<&#dependency> { value: &*#inner };
                    let #name: #ty = #held.#value;
                },
            }
        }
        Kind::Each { position, access } => {
            let path = respan(path(task, *position), start);
            let element = element(&path, *access, &inner, start);
            let held_each = held_as(quote!(::anio::__private::Each(#element)));
            quote_spanned! {start=>
                let #inner = ::anio::__private::element::<#path>(&#call, #position)?;
                #held_each
                let #name: #ty = #held.#value;
            }
        }
        Kind::Pair { position, access, .. } => {
            let path = respan(path(task, *position), start);
            let [left, right] = ["left", "right"].map(|side| format_ident!("{name}_{side}", span = start));
            let both = [&left, &right].map(|side| element(&path, *access, side, start));
            let held_pair = held_as(quote!(::anio::__private::Pair(#(#both),*)));
            quote_spanned! {start=>
                let [#left, #right] = ::anio::__private::pair::<#path>(&#call, #position)?;
                #held_pair
                let #name: #ty = #held.#value;
            }
        }
        Kind::Settled { position, inner: output, access } => {
            let path = path(task, *position);
            let dependency = quote!(<#path as ::anio::__private::TaskType>::Output);
            // The output alone is bound to its type, so that a mismatch is shown under it.
            let (start, end) = ends(output);
            let held = Ident::new("__anio_held", Span::mixed_site().located_at(start));
            let value = Ident::new("value", end);
            let (read, given, of) = match access {
                Access::Copy => (quote!(settled_copied), quote!(#inner), quote!(#dependency)),
                Access::Shared => {
                    let shared = quote!(::anio::__private::settled_shared(&#inner));
                    (quote!(settled_read), shared, quote!(&#dependency))
                }
            };
            let output = quote_spanned! {start=>
                let #name: #output = #held.#value;
                #name
            };
            quote_spanned! {start=>
                let #inner = ::anio::__private::#read::<#path>(&#call, #position)?;
                let #name: #ty = ::anio::__private::settled_map(
                    #given, |#held: ::anio::__private::Held<#of>| { #output }
                );
            }
        }
        Kind::Input { inner: input, access } => {
            let read = match access {
                Access::Copy => quote_spanned! {start=>
                    ::anio::__private::input_copied::<#input>(
                        &#call, (&&::anio::__private::Probe::<#input>::NEW).cloner()
                    )?
                },
                Access::Shared => quote_spanned!(start=> ::anio::__private::input_shared::<#input>(&#call)?),
            };
            let given = if *access == Access::Copy { quote!(#inner) } else { quote!(&*#inner) };
            let held_input = held_as(quote!(::anio::__private::Input(#given)));
            quote! {
                let #inner = #read;
                #held_input
                let #name: #ty = #held.#value;
            }
        }
        Kind::Previous { inner: wanted, access } => {
            let result = &task.result;
            let (read, given) = match access {
                Access::Copy => (quote!(previous_copied::<Self, #result, #wanted>), quote!(#inner)),
                Access::Shared => {
                    let element = quote!(<Self as ::anio::__private::Tag<#result>>::Element);
                    let shared =
                        quote!(::anio::__private::previous_shared::<#wanted, #element>(#inner.as_ref()));
                    (quote!(previous_read::<Self, #result>), shared)
                }
            };
            let held_previous = held_as(quote!(::anio::__private::Previous(#given)));
            quote_spanned! {start=>
                let #inner = ::anio::__private::#read(&#call)?;
                #held_previous
                let #name: #ty = #held.#value;
            }
        }
        Kind::State { inner: state } => {
            let read = quote_spanned!(start=> #call.state::<#state>()?);
            let held_state = held_as(quote!(::anio::__private::State(#read)));
            quote!(#held_state let #name: #ty = #held.#value;)
        }
        Kind::Context { mutable: true } => quote_spanned!(start=> let #name: #ty = &mut #context;),
        Kind::Context { mutable: false } => quote_spanned!(start=> let #name: #ty = &#context;),
        Kind::Handle { access: Access::Copy } => {
            quote_spanned!(start=> let #name: #ty = ::core::clone::Clone::clone(#call.handle());)
        }
        Kind::Handle { access: Access::Shared } => quote_spanned!(start=> let #name: #ty = #call.handle();),
    }
}

/// An element of a list, as it is taken.
fn element(path: &TokenStream, access: Access, element: &Ident, start: Span) -> TokenStream {
    let call = local("call");
    match access {
        Access::Shared => quote_spanned!(start=> ::anio::__private::item(&#element)),
        Access::Copy => quote_spanned! {start=>
            ::anio::__private::each::<::anio::__private::ItemOf<#path>>(
                &#call,
                ::anio::__private::item(&#element),
                (&&::anio::__private::Probe::<::anio::__private::ItemOf<#path>>::NEW).cloner(),
            )?
        },
    }
}

/// The path of the dependency at this position.
fn path(task: &Task, position: usize) -> TokenStream {
    match &task.dependencies[position].target {
        Target::Path(path) => path.to_token_stream(),
        Target::Name(_) => unreachable!("a parameter is given a dependency by path"),
    }
}
