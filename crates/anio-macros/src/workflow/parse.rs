//! The module as it was written: its tasks, its other items, what it imports.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Item, ItemMod, LitStr, Meta, UseTree};

use crate::entry::{Between, entries};
use crate::errors::Errors;
use crate::names::{check_ident, check_literal};
use crate::task::callback::Callbacks;
use crate::task::parse::{self, ParsedTask};

/// A module as it was written.
pub(crate) struct ParsedModule {
    pub(crate) module: ItemMod,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) callbacks: Callbacks,
    pub(crate) items: Vec<ModuleItem>,
    pub(crate) imports: Vec<String>,
}

/// An item of the module.
pub(crate) enum ModuleItem {
    Task(Box<ParsedTask>),
    Other(Box<Item>),
}

/// Reads `#[workflow(arguments)] module`; `None` when the module has no body.
pub(crate) fn module(
    arguments: TokenStream,
    mut module: ItemMod,
    errors: &mut Errors,
) -> Option<ParsedModule> {
    const KNOWN: [&str; 4] = ["name", "description", "on_success", "on_failure"];
    let (mut name, mut description) = (None, String::new());
    let mut callbacks = Callbacks::default();
    for entry in entries("`#[workflow]`", arguments, Between::Equals, &KNOWN, errors) {
        if entry.key != "name" && entry.key != "description" {
            callbacks.read(&entry, errors);
            continue;
        }
        let Some(text) = errors.take(entry.text("\"..\"")) else { continue };
        if entry.key == "name" {
            check_literal("name", &text, errors);
            name = Some(text);
        } else {
            description = text.value();
        }
    }
    if name.is_none() {
        check_ident("name", &module.ident, errors);
    }
    let name = name.as_ref().map_or_else(|| module.ident.unraw().to_string(), LitStr::value);
    let Some((_, content)) = &mut module.content else {
        errors.at(&module, "`#[workflow]` wants the module's body here: `mod name { .. }`");
        return None;
    };
    let content = std::mem::take(content);
    let mut imports = Vec::new();
    for item in &content {
        if let Item::Use(item) = item {
            imported(&item.tree, &mut imports);
        }
    }
    let items = content.into_iter().map(|item| read(item, errors)).collect();
    Some(ParsedModule { module, name, description, callbacks, items, imports })
}

fn read(item: Item, errors: &mut Errors) -> ModuleItem {
    let mut function = match item {
        Item::Fn(function) => function,
        other => return ModuleItem::Other(Box::new(other)),
    };
    let Some(position) = function.attrs.iter().position(is_task) else {
        return ModuleItem::Other(Box::new(Item::Fn(function)));
    };
    let attribute = function.attrs.remove(position);
    let arguments = match attribute.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens,
        Meta::NameValue(_) => {
            errors.at(&attribute, "write `#[task]` or `#[task(..)]`");
            TokenStream::new()
        }
    };
    ModuleItem::Task(Box::new(parse::task(arguments, function, errors)))
}

/// Whether an attribute is ours, under the names that the facade gives it.
fn is_task(attribute: &Attribute) -> bool {
    let path = attribute.path().to_token_stream().to_string().replace(' ', "");
    matches!(path.trim_start_matches("::"), "task" | "anio::task" | "anio::prelude::task")
}

/// The names that a `use` brings in, globs left out.
fn imported(tree: &UseTree, names: &mut Vec<String>) {
    match tree {
        UseTree::Path(path) => imported(&path.tree, names),
        UseTree::Name(name) => names.push(name.ident.unraw().to_string()),
        UseTree::Rename(rename) => names.push(rename.rename.unraw().to_string()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| imported(tree, names)),
        UseTree::Glob(_) => {}
    }
}
