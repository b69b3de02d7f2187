//! The grammar that all our attributes share: `key`, `key = value`, `key(..)`, parted by commas.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::{Ident, LitBool, LitInt, LitStr, Token, parenthesized};

use crate::errors::Errors;
use crate::names::suggestion;

/// One entry of a list.
pub(crate) struct Entry {
    pub(crate) key: Ident,
    pub(crate) value: Value,
}

/// What stands behind the key.
pub(crate) enum Value {
    Nothing,
    Assigned(TokenStream),
    List(TokenStream),
}

/// What stands between a key and its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// `key = value`, as in attributes.
    Equals,
    /// `key: value`, as in `workflow!`.
    Colon,
}

/// Reads all entries that can be read, noting what is wrong with the others. A key that is not among
/// `known`, or that comes twice, is left out.
pub(crate) fn entries(
    of: &str,
    tokens: TokenStream,
    between: Between,
    known: &[&str],
    errors: &mut Errors,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for part in parts(tokens) {
        let read = |input: ParseStream<'_>| entry(input, between);
        let Some(entry) = errors.take(read.parse2(part)) else { continue };
        let key = entry.key.unraw().to_string();
        if !known.contains(&key.as_str()) {
            let near = suggestion(&key, known.iter().copied());
            errors.at(&entry.key, format!("`{key}` is unknown{near}\n{of} knows: {}", known.join(", ")));
        } else if entries.iter().any(|other| other.key == entry.key) {
            errors.at(&entry.key, format!("`{key}` is given twice"));
        } else {
            entries.push(entry);
        }
    }
    entries
}

/// Parts tokens at the commas.
pub(crate) fn parts(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match (&token, parts.last_mut()) {
            (TokenTree::Punct(comma), _) if comma.as_char() == ',' => parts.push(TokenStream::new()),
            (_, Some(part)) => part.extend([token]),
            (_, None) => unreachable!("the list of parts begins with one"),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Reads one entry.
pub(crate) fn entry(input: ParseStream<'_>, between: Between) -> syn::Result<Entry> {
    let key = Ident::parse_any(input)?;
    let value = if input.is_empty() {
        Value::Nothing
    } else if input.peek(syn::token::Paren) {
        let inner;
        parenthesized!(inner in input);
        Value::List(inner.parse()?)
    } else {
        match between {
            Between::Equals => drop(input.parse::<Token![=]>()?),
            Between::Colon => drop(input.parse::<Token![:]>()?),
        }
        Value::Assigned(input.parse()?)
    };
    if !input.is_empty() {
        return Err(input.error("expected `,`"));
    }
    Ok(Entry { key, value })
}

impl Entry {
    pub(crate) fn span(&self) -> Span {
        self.key.span()
    }

    /// The value as a text.
    pub(crate) fn text(&self, example: &str) -> syn::Result<LitStr> {
        self.assigned("a text", example)
    }

    /// The value as a whole number within bounds.
    pub(crate) fn number<N>(&self, range: std::ops::RangeInclusive<N>, example: &str) -> syn::Result<N>
    where
        N: std::str::FromStr<Err: std::fmt::Display> + PartialOrd + std::fmt::Display,
    {
        let literal: LitInt = self.assigned("a whole number", example)?;
        let number = literal.base10_parse::<N>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let message =
                format!("`{}` is a whole number from {} to {}", self.key, range.start(), range.end());
            syn::Error::new_spanned(&literal, message)
        })
    }

    /// The value as `true` or `false`; `true` when there is none.
    pub(crate) fn flag(&self) -> syn::Result<bool> {
        if matches!(self.value, Value::Nothing) {
            return Ok(true);
        }
        Ok(self.assigned::<LitBool>("`true` or `false`", "true")?.value)
    }

    /// That there is no value.
    pub(crate) fn nothing(&self) -> syn::Result<()> {
        match &self.value {
            Value::Nothing => Ok(()),
            Value::Assigned(tokens) | Value::List(tokens) => {
                Err(self.at_value(tokens, format!("`{}` stands alone, without a value", self.key)))
            }
        }
    }

    /// The tokens in the parentheses.
    pub(crate) fn list(&self, example: &str) -> syn::Result<TokenStream> {
        match &self.value {
            Value::List(tokens) => Ok(tokens.clone()),
            Value::Nothing | Value::Assigned(_) => {
                Err(syn::Error::new_spanned(&self.key, format!("write `{}{example}`", self.key)))
            }
        }
    }

    /// The value, read as a `T`.
    pub(crate) fn assigned<T: Parse>(&self, what: &str, example: &str) -> syn::Result<T> {
        let wanted = format!("`{}` is {what}, such as `{example}`", self.key);
        match &self.value {
            Value::Assigned(tokens) => syn::parse2(tokens.clone()).map_err(|_| self.at_value(tokens, wanted)),
            Value::Nothing | Value::List(_) => Err(syn::Error::new_spanned(&self.key, wanted)),
        }
    }

    /// An error under the value, or under the key when the value is empty.
    pub(crate) fn at_value(&self, tokens: &TokenStream, message: String) -> syn::Error {
        if tokens.is_empty() {
            syn::Error::new_spanned(self.key.to_token_stream(), message)
        } else {
            syn::Error::new_spanned(tokens, message)
        }
    }
}
