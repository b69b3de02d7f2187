//! What each parameter is, and whether all of it makes sense together.

use proc_macro2::Span;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Ident, ItemFn, LitStr, Pat, Path, ReturnType, Type, TypePath, parse_quote};

use crate::errors::Errors;
use crate::names::{nearest, nearest_type, suggestion};
use crate::task::callback::Callbacks;
use crate::task::condition::{Condition, When};
use crate::task::form;
use crate::task::parse::{Options, Parameter, ParsedTask};
use crate::task::types::{access, inner, is_element, named, referent, shown, strip};

/// What a parameter may be, as every message about an unknown one says.
const ALLOWED: &str = "a parameter is the output of a task (named after it, or marked `#[from(path)]`), or one of \
                       Input<T>, Previous<T>, State<T>, &Context, &mut Context, TaskHandle";

/// How what became of a dependency is taken.
const SETTLED: &str = "write `Settled<T>` or `Settled<&T>`, where `T` is the output of the task";

/// How elements of a list are taken.
const ELEMENTS: &str =
    "write `Each<T>` or `Each<&T>`, `Pair<T>` or `Pair<&T>`, where the task returns a list of `T`";

/// The types that make a parameter something else than an output.
const EXTRACTORS: [&str; 8] =
    ["Input", "Previous", "State", "Context", "TaskHandle", "Each", "Pair", "Settled"];

/// Where a task stands: what the names of its parameters can mean.
pub(crate) enum Scope<'a> {
    /// By itself: no name means anything.
    Alone,
    /// In a module: the names of its functions are tasks.
    Module(&'a Module),
}

/// The tasks of a module, and the names that it imports.
pub(crate) struct Module {
    pub(crate) tasks: Vec<Sibling>,
    pub(crate) imports: Vec<String>,
}

/// A task of the module.
pub(crate) struct Sibling {
    /// The function's name.
    pub(crate) ident: String,
    /// The task's name.
    pub(crate) name: String,
}

/// A task that has been checked.
pub(crate) struct Task {
    pub(crate) function: ItemFn,
    pub(crate) name: String,
    pub(crate) name_span: Span,
    pub(crate) options: Options,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) condition: Option<Condition>,
    /// The function of the inputs that decides whether the task runs.
    pub(crate) guard: Option<Path>,
    /// The word that either stands behind.
    pub(crate) when_key: Option<Ident>,
    /// The function that says when a map has enough.
    pub(crate) until: Option<Path>,
    pub(crate) callbacks: Callbacks,
    /// The tasks that the condition asks about.
    pub(crate) asked: Vec<Asked>,
    /// The function's return type; where that is no `Result`, the nearest that is one.
    pub(crate) result: Type,
    pub(crate) source_hash: u64,
}

/// An argument of the function.
pub(crate) struct Argument {
    pub(crate) kind: Kind,
    pub(crate) ty: Type,
}

/// What an argument is made of.
pub(crate) enum Kind {
    /// The output of the dependency at this position.
    Output { position: usize, access: Access },
    /// One element of the output of the dependency at this position.
    Each { position: usize, access: Access },
    /// Two elements of the output of the dependency at this position, of this type.
    Pair { position: usize, inner: Type, access: Access },
    /// What became of the dependency at this position, whose output is of this type.
    Settled { position: usize, inner: Type, access: Access },
    /// The run's input, of this type.
    Input { inner: Type, access: Access },
    /// What the step before returned, of this type.
    Previous { inner: Type, access: Access },
    /// A shared value of this type.
    State { inner: Type },
    /// The context.
    Context { mutable: bool },
    /// The task's handle.
    Handle { access: Access },
}

/// Whether an argument is shared or a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Copy,
    Shared,
}

/// A task that this one waits for.
pub(crate) struct Dependency {
    pub(crate) target: Target,
    pub(crate) edge: Edge,
    /// Which task of the module it is, where it is one.
    pub(crate) sibling: Option<usize>,
}

/// A task that a condition asks about.
pub(crate) struct Asked {
    pub(crate) target: Target,
    /// Which task of the module it is, where it is one.
    pub(crate) sibling: Option<usize>,
}

/// How a task is named.
#[derive(Clone)]
pub(crate) enum Target {
    Path(Path),
    Name(LitStr),
}

/// What passes from a dependency.
#[derive(Clone, Copy)]
pub(crate) enum Edge {
    Order,
    Value,
    Settled,
    /// With the place of the parameter's type.
    Each(Span),
    /// The same.
    Pairs(Span),
}

impl Task {
    pub(crate) fn has(&self, kind: impl Fn(&Kind) -> bool) -> bool {
        self.arguments.iter().any(|argument| kind(&argument.kind))
    }

    pub(crate) fn ident(&self) -> &Ident {
        &self.function.sig.ident
    }
}

impl ToTokens for Target {
    /// What the user wrote, as the place of a message.
    fn to_tokens(&self, tokens: &mut proc_macro2::TokenStream) {
        match self {
            Self::Path(path) => path.to_tokens(tokens),
            Self::Name(name) => name.to_tokens(tokens),
        }
    }
}

/// Checks one task.
pub(crate) fn task(parsed: ParsedTask, scope: &Scope<'_>, errors: &mut Errors) -> Task {
    let ParsedTask {
        function,
        name,
        name_span,
        options,
        after,
        dependencies,
        when,
        when_key,
        until,
        callbacks,
        parameters,
        source_hash,
    } = parsed;
    let (condition, guard) = match when {
        Some(When::Condition(condition)) => (Some(condition), None),
        Some(When::Function(path)) => (None, Some(path)),
        None => (None, None),
    };
    check_signature(&function, &options, errors);
    let result = check_return(&function.sig, errors);
    let mut known = Known { scope, dependencies: Vec::new(), errors };
    let arguments =
        parameters.into_iter().filter_map(|parameter| known.argument(parameter)).collect::<Vec<_>>();
    for name in dependencies {
        known.by_name(name);
    }
    for path in after {
        if let Some((path, sibling)) = known.resolve(path) {
            known.add(Target::Path(path), Edge::Order, sibling);
        }
    }
    let named = condition.iter().flat_map(Condition::tasks);
    let asked = named.filter_map(|target| known.asked(target)).collect();
    let dependencies = known.dependencies;
    let task = Task {
        function,
        name,
        name_span,
        options,
        arguments,
        dependencies,
        condition,
        guard,
        when_key,
        until,
        callbacks,
        asked,
        result,
        source_hash,
    };
    check_once(&task, errors);
    form::check(&task, errors);
    task
}

fn check_signature(function: &ItemFn, options: &Options, errors: &mut Errors) {
    let signature = &function.sig;
    if let (Some(span), Some(_)) = (options.blocking, &signature.asyncness) {
        errors.at_span(
            span,
            "`blocking` is for a plain `fn`, which runs on a thread that may block; leave it out, or leave out `async`",
        );
    }
    if let Some(pool) = &options.pool
        && (options.blocking.is_some() || signature.asyncness.is_some())
    {
        errors.at(
            pool,
            "`pool` is for a plain `fn` that computes; leave it out, or leave out `async` and `blocking`",
        );
    }
    if !signature.generics.params.is_empty() {
        errors.at(&signature.generics, "a task cannot be generic: the engine calls it with types of its own");
    }
    if let syn::Safety::Unsafe(word) = &signature.safety {
        errors.at(word, "a task cannot be unsafe: the engine calls it");
    }
    if let Some(variadic) = &signature.variadic {
        errors.at(variadic, "a task has a fixed number of parameters");
    }
    for attribute in &function.attrs {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            errors.at(
                attribute,
                "write `#[cfg(..)]` above `#[task]`, or on the whole `#[workflow]` module: the graph is the same in \
                 every configuration",
            );
        }
    }
}

/// The return type. Refuses what can be no `Result` under any name; rustc judges the rest by the type.
fn check_return(signature: &syn::Signature, errors: &mut Errors) -> Type {
    const PLAIN: [&str; 22] = [
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64",
        "u128", "usize", "String", "Vec", "Option", "Box", "HashMap", "BTreeMap",
    ];
    let result_of = |ty: &dyn ToTokens| -> Type {
        let ty = ty.to_token_stream();
        parse_quote!(::core::result::Result<#ty, ::anio::__private::TaskError>)
    };
    let ReturnType::Type(_, ty) = &signature.output else {
        errors.at(&signature.ident, "a task returns a `Result`: write `-> Result<()>` and end with `Ok(())`");
        return result_of(&quote!(()));
    };
    let plain = match &**ty {
        Type::Path(path) => {
            path.path.segments.last().is_some_and(|last| PLAIN.iter().any(|name| last.ident == name))
        }
        Type::Tuple(_) | Type::Array(_) => true,
        Type::Reference(_) | Type::Slice(_) | Type::Never(_) | Type::ImplTrait(_) => {
            errors.at(ty, "a task returns a `Result` of an owned type with a name, since its output is stored and read back");
            return result_of(&quote!(()));
        }
        _ => false,
    };
    if plain {
        let shown = shown(ty);
        errors.at(ty, format!("a task returns a `Result`: write `-> Result<{shown}>` and end with `Ok(..)`"));
        return result_of(ty);
    }
    let mut borrows = Borrows(false);
    borrows.visit_type_mut(&mut ty.clone());
    if borrows.0 {
        errors.at(
            ty,
            "the output of a task is stored and read back, so it is owned: it cannot borrow from a parameter",
        );
        return result_of(&quote!(()));
    }
    (**ty).clone()
}

/// Whether a type has a lifetime other than `'static`.
struct Borrows(bool);

impl VisitMut for Borrows {
    fn visit_type_reference_mut(&mut self, reference: &mut syn::TypeReference) {
        self.0 |= reference.lifetime.is_none();
        visit_mut::visit_type_reference_mut(self, reference);
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut syn::Lifetime) {
        self.0 |= lifetime.ident != "static";
    }
}

/// One context, one input, one step before.
fn check_once(task: &Task, errors: &mut Errors) {
    let mut once = |is: fn(&Kind) -> bool, message: &str| {
        for argument in task.arguments.iter().filter(|argument| is(&argument.kind)).skip(1) {
            errors.at(&argument.ty, message);
        }
    };
    once(|kind| matches!(kind, Kind::Context { .. }), "the context is a parameter already");
    once(|kind| matches!(kind, Kind::Input { .. }), "the run's input is a parameter already");
    let message = "what the step before returned is a parameter already";
    once(|kind| matches!(kind, Kind::Previous { .. }), message);
}

/// What is known of a task while its parameters are read.
struct Known<'a, 'b> {
    scope: &'a Scope<'a>,
    dependencies: Vec<Dependency>,
    errors: &'b mut Errors,
}

impl Known<'_, '_> {
    fn argument(&mut self, parameter: Parameter) -> Option<Argument> {
        let Parameter { ident, from, pattern, ty } = parameter;
        let named = ident.as_ref().and_then(|ident| self.sibling(&ident.unraw().to_string()));
        if let Some(path) = from {
            let (path, sibling) = self.resolve(path)?;
            return self.output(path, sibling, ty);
        }
        let extractor = self.extractor(&ty);
        if let (Some(sibling), Some(ident)) = (named, &ident) {
            if let Some((_, word)) = extractor {
                let message = format!(
                    "`{ident}` is a task of this module, and `{word}` is not its output; rename the parameter"
                );
                self.errors.at(ident, message);
                return None;
            }
            return self.output(Path::from(ident.clone()), Some(sibling), ty);
        }
        let Some((kind, _)) = extractor else {
            self.unknown(ident.as_ref(), &pattern, &ty);
            return None;
        };
        kind.map(|kind| Argument { kind, ty })
    }

    /// An argument that is a dependency's output.
    fn output(&mut self, path: Path, sibling: Option<usize>, ty: Type) -> Option<Argument> {
        if let Some((_, word)) = self.extractor(&ty) {
            let message = format!(
                "the output of a task is taken as `T`, `&T`, `Each<T>`, `Pair<T>` or `Settled<T>`, not as `{word}`"
            );
            self.errors.at(&ty, message);
            return None;
        }
        let position = self.dependencies.len();
        let (edge, kind) = match &strip(&ty) {
            Type::Reference(reference) if reference.mutability.is_some() => {
                self.errors.at(&ty, "the output of a task is shared; take it as `T`, a copy, to change it");
                return None;
            }
            Type::Reference(reference) if named(&strip(&reference.elem), "Settled") => {
                self.errors.at(&ty, SETTLED);
                return None;
            }
            Type::Reference(reference) if is_element(&strip(&reference.elem)) => {
                self.errors.at(&ty, ELEMENTS);
                return None;
            }
            Type::Reference(_) => (Edge::Value, Kind::Output { position, access: Access::Shared }),
            ty => match ["Each", "Pair", "Settled"].map(|wrapper| inner(ty, wrapper)) {
                [Some(inner), ..] => (Edge::Each(ty.span()), Kind::Each { position, access: access(&inner) }),
                [_, Some(inner), _] => {
                    let access = access(&inner);
                    (Edge::Pairs(ty.span()), Kind::Pair { position, inner: referent(inner), access })
                }
                [.., Some(inner)] => {
                    let access = access(&inner);
                    (Edge::Settled, Kind::Settled { position, inner, access })
                }
                _ if named(ty, "Settled") => {
                    self.errors.at(ty, SETTLED);
                    return None;
                }
                _ => (Edge::Value, Kind::Output { position, access: Access::Copy }),
            },
        };
        self.add(Target::Path(path), edge, sibling).then_some(Argument { kind, ty })
    }

    /// What a type says of a parameter that is no task's output: its kind (`None` when it is misused,
    /// which has been noted), and the type in words.
    fn extractor(&mut self, ty: &Type) -> Option<(Option<Kind>, String)> {
        let ty = &strip(ty);
        let (target, reference) = match ty {
            Type::Reference(reference) => (strip(&reference.elem), Some(reference.mutability.is_some())),
            other => (other.clone(), None),
        };
        let Type::Path(TypePath { path, .. }) = &target else { return None };
        let last = path.segments.last()?;
        let word = last.ident.to_string();
        let shown = shown(ty);
        let kind = match (word.as_str(), reference) {
            ("Input", None) => inner(&target, "Input").map(|ty| {
                let access = access(&ty);
                Kind::Input { inner: referent(ty), access }
            }),
            ("Previous", None) => inner(&target, "Previous").map(|ty| {
                let access = access(&ty);
                Kind::Previous { inner: referent(ty), access }
            }),
            ("State", None) => inner(&target, "State").map(|inner| Kind::State { inner }),
            ("Context", Some(mutable)) => Some(Kind::Context { mutable }),
            ("TaskHandle", None) => Some(Kind::Handle { access: Access::Copy }),
            ("TaskHandle", Some(false)) => Some(Kind::Handle { access: Access::Shared }),
            ("Input" | "Previous" | "State" | "Context" | "TaskHandle", _) => None,
            _ => return None,
        };
        if kind.is_none() {
            let right = match word.as_str() {
                "Context" => "`&Context` or `&mut Context`",
                "TaskHandle" => "`TaskHandle` or `&TaskHandle`",
                "Input" => "`Input<T>` or `Input<&T>`",
                "Previous" => "`Previous<T>` or `Previous<&T>`",
                _ => "`State<T>`",
            };
            self.errors.at(ty, format!("write {right}"));
        }
        Some((kind, shown))
    }

    fn unknown(&mut self, ident: Option<&Ident>, pattern: &Pat, ty: &Type) {
        let Some(ident) = ident else {
            self.errors
                .at(pattern, format!("of which task is this the output? mark it `#[from(task)]`\n{ALLOWED}"));
            return;
        };
        let name = ident.unraw().to_string();
        let word = match strip(&referent(ty.clone())) {
            Type::Path(path) => {
                path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default()
            }
            _ => String::new(),
        };
        let near = match (self.scope, nearest_type(&word, EXTRACTORS)) {
            (_, Some(near)) if near != word => {
                self.errors.at(ty, format!("`{word}` is unknown; did you mean `{near}`?\n{ALLOWED}"));
                return;
            }
            (Scope::Alone, _) => {
                "; outside a `#[workflow]` module, name the task by `#[from(path)]`".to_owned()
            }
            (Scope::Module(module), _) => {
                match module.tasks.iter().find(|task| format!("_{}", task.ident) == name) {
                    Some(task) => format!("; where only the order matters, write `after({})`", task.ident),
                    None => match module.tasks.iter().find(|task| task.name == name) {
                        Some(task) => format!("; the task of this name is the function `{}`", task.ident),
                        None => suggestion(&name, module.tasks.iter().map(|task| task.ident.as_str())),
                    },
                }
            }
        };
        let of = if matches!(self.scope, Scope::Alone) { "" } else { " of this module" };
        self.errors.at(ident, format!("`{name}` is no task{of}{near}\n{ALLOWED}"));
    }

    /// Which task of the module a path means; `None` when it is a slip of the finger, which is noted.
    fn resolve(&mut self, path: Path) -> Option<(Path, Option<usize>)> {
        let Scope::Module(module) = self.scope else { return Some((path, None)) };
        let ident = match path.segments.last() {
            Some(last) if path.segments.len() == 1 => last.ident.unraw().to_string(),
            Some(last) if path.segments.len() == 2 && path.segments[0].ident == "self" => {
                last.ident.unraw().to_string()
            }
            _ => return Some((path, None)),
        };
        if let Some(sibling) = self.sibling(&ident) {
            return Some((path, Some(sibling)));
        }
        if path.segments.len() == 1
            && !module.imports.contains(&ident)
            && let Some(near) = nearest(&ident, module.tasks.iter().map(|task| task.ident.as_str()))
        {
            let message = format!(
                "`{ident}` is no task of this module; did you mean `{near}`?\na task elsewhere is named by its path, \
                 such as `super::{ident}`"
            );
            self.errors.at(&path, message);
            return None;
        }
        Some((path, None))
    }

    /// A dependency by the task's name.
    fn by_name(&mut self, name: LitStr) {
        let Scope::Module(module) = self.scope else {
            self.add(Target::Name(name), Edge::Order, None);
            return;
        };
        let sibling = module.tasks.iter().position(|task| task.name == name.value());
        self.add(Target::Name(name), Edge::Order, sibling);
    }

    /// A task that the condition asks about; `None` when it is a slip of the finger, which is noted.
    fn asked(&mut self, target: &Target) -> Option<Asked> {
        let sibling = match (target, self.scope) {
            (Target::Path(path), _) => self.resolve(path.clone())?.1,
            (Target::Name(_), Scope::Alone) => None,
            (Target::Name(name), Scope::Module(module)) => {
                module.tasks.iter().position(|task| task.name == name.value())
            }
        };
        Some(Asked { target: target.clone(), sibling })
    }

    fn add(&mut self, target: Target, edge: Edge, sibling: Option<usize>) -> bool {
        let new = Dependency { target, edge, sibling };
        let same = |old: &Dependency| match (&old.target, &new.target) {
            _ if old.sibling.is_some() || sibling.is_some() => old.sibling == sibling,
            (Target::Path(old), Target::Path(new)) => old == new,
            (Target::Name(old), Target::Name(new)) => old.value() == new.value(),
            _ => false,
        };
        if let Some(old) = self.dependencies.iter().find(|old| same(old)) {
            let message = match (old.edge, edge) {
                (Edge::Order, _) | (_, Edge::Order) => "this task is a dependency already; once is enough",
                _ => "two parameters are the output of one task; keep one of them",
            };
            self.errors.at(&new.target, message);
            return false;
        }
        self.dependencies.push(new);
        true
    }

    fn sibling(&self, ident: &str) -> Option<usize> {
        match self.scope {
            Scope::Alone => None,
            Scope::Module(module) => module.tasks.iter().position(|task| task.ident == ident),
        }
    }
}
