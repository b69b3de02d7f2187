//! What a type is, as far as its text tells.

use quote::ToTokens;
use syn::{GenericArgument, PathArguments, Type, TypePath};

use crate::task::check::Access;

/// A type as text, without the spaces between its tokens.
pub(super) fn shown(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    [("& ", "&"), (" < ", "<"), (" <", "<"), ("< ", "<"), (" >", ">"), (" ,", ","), (" :: ", "::")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

/// The type without parentheses and invisible groups.
pub(super) fn strip(ty: &Type) -> Type {
    match ty {
        Type::Paren(inner) => strip(&inner.elem),
        Type::Group(inner) => strip(&inner.elem),
        other => other.clone(),
    }
}

/// Whether the last segment of the type's path is this.
pub(super) fn named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(ty) if ty.path.segments.last().is_some_and(|last| last.ident == name))
}

/// Whether this is an element, or two, of a list.
pub(super) fn is_element(ty: &Type) -> bool {
    inner(ty, "Each").is_some() || inner(ty, "Pair").is_some()
}

/// The `T` of a `Wrapper<T>`.
pub(super) fn inner(ty: &Type, wrapper: &str) -> Option<Type> {
    let Type::Path(TypePath { path, qself: None, .. }) = ty else { return None };
    let last = path.segments.last().filter(|last| last.ident == wrapper)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.iter().collect::<Vec<_>>()[..] {
        [GenericArgument::Type(inner)] => Some(inner.clone()),
        _ => None,
    }
}

pub(super) fn access(ty: &Type) -> Access {
    if matches!(strip(ty), Type::Reference(_)) { Access::Shared } else { Access::Copy }
}

pub(super) fn referent(ty: Type) -> Type {
    match strip(&ty) {
        Type::Reference(reference) => *reference.elem,
        _ => ty,
    }
}

/// The `T` of a `Result<T>` that is no `Option` as it is written; what a type of another name is, rustc knows.
pub(super) fn no_option(result: &Type) -> Option<Type> {
    let Type::Path(TypePath { path, .. }) = strip(result) else { return None };
    let last = path.segments.last().filter(|last| last.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let GenericArgument::Type(ok) = arguments.args.first()? else { return None };
    let ok = strip(ok);
    let is_for_rustc = matches!(&ok, Type::Path(TypePath { qself: Some(_), .. }) | Type::Macro(_));
    (!is_for_rustc && !named(&ok, "Option")).then_some(ok)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn what_is_no_option_is_told_from_what_rustc_has_to_judge() {
        let cases: [(Type, bool); 9] = [
            (parse_quote!(Result<u32>), true),
            (parse_quote!(std::result::Result<Vec<Option<u32>>, String>), true),
            (parse_quote!(Result<(Option<u32>, u32)>), true),
            (parse_quote!(Result<Option<u32>>), false),
            (parse_quote!((Result<(std::option::Option<u32>), String>)), false),
            (parse_quote!(Ended<u32>), false),
            (parse_quote!(anyhow::Result), false),
            (parse_quote!(Result<<Page as Paged>::Next>), false),
            (parse_quote!(Option<u32>), false),
        ];
        for (ty, is_none) in cases {
            assert_eq!(no_option(&ty).is_some(), is_none, "{}", shown(&ty));
        }
    }
}
