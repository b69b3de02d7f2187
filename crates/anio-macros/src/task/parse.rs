//! From tokens to what the user wrote, spans kept: the attribute's entries and the function.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{ExprArray, FnArg, Ident, ItemFn, LitStr, Pat, Path, Token, Type};

use crate::entry::{Between, Entry, Value, entries, parts};
use crate::errors::Errors;
use crate::literal::{Zero, duration, rate};
use crate::names::{check_ident, check_literal, suggestion};
use crate::task::callback::Callbacks;
use crate::task::condition::{When, when};
use crate::task::form;

/// All entries of `#[task(..)]`.
const KNOWN: [&str; 23] = [
    "name",
    "after",
    "retry",
    "timeout",
    "priority",
    "concurrency",
    "needs",
    "rate",
    "blocking",
    "pool",
    "when",
    "until",
    "on_success",
    "on_failure",
    "id",
    "dependencies",
    "retry_attempts",
    "retry_delay_ms",
    "retry_max_delay_ms",
    "retry_backoff",
    "retry_jitter",
    "retry_condition",
    "trigger_rules",
];

const ATTEMPTS_MAX: u32 = 1_000_000;
const DELAY_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;

/// A task as it was written.
pub(crate) struct ParsedTask {
    /// The function, without our own attributes.
    pub(crate) function: ItemFn,
    pub(crate) name: String,
    pub(crate) name_span: Span,
    pub(crate) options: Options,
    pub(crate) after: Vec<Path>,
    pub(crate) dependencies: Vec<LitStr>,
    pub(crate) when: Option<When>,
    /// The word that the condition stands behind.
    pub(crate) when_key: Option<Ident>,
    /// The function that says when a map has enough.
    pub(crate) until: Option<Path>,
    pub(crate) callbacks: Callbacks,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) source_hash: u64,
}

/// A parameter of the function.
pub(crate) struct Parameter {
    /// Its name; `None` for a pattern.
    pub(crate) ident: Option<Ident>,
    /// The path in `#[from(path)]`.
    pub(crate) from: Option<Path>,
    pub(crate) pattern: Pat,
    pub(crate) ty: Type,
}

/// How the task is executed.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) retry: Option<Retry>,
    pub(crate) retry_condition: Option<RetryCondition>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) priority: Option<i32>,
    pub(crate) concurrency: Option<u32>,
    /// Names of resources, and how many units of each.
    pub(crate) needs: Vec<(String, u32)>,
    pub(crate) rate: Option<LitStr>,
    pub(crate) blocking: Option<Span>,
    pub(crate) pool: Option<LitStr>,
}

/// A retry policy.
pub(crate) struct Retry {
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) jitter: bool,
}

/// After which failures another attempt follows.
pub(crate) enum RetryCondition {
    /// One that has a word: its variant's name.
    Word(&'static str, Span),
    /// A function of the user's.
    When(Path),
}

impl RetryCondition {
    const WORDS: [(&str, &str); 3] = [("all", "All"), ("transient", "Transient"), ("never", "Never")];

    /// Reads `retry_condition = "transient"` or `retry_condition = path`.
    fn read(entry: &Entry) -> syn::Result<Self> {
        const WHAT: &str = "`retry_condition` is \"all\", \"transient\", \"never\", or the path of a \
                            `fn(&TaskError) -> bool`, such as `is_busy`";
        let Value::Assigned(tokens) = &entry.value else {
            return Err(syn::Error::new_spanned(&entry.key, WHAT));
        };
        if let Ok(path) = Path::parse_mod_style.parse2(tokens.clone()) {
            return Ok(Self::When(path));
        }
        let word: LitStr =
            syn::parse2(tokens.clone()).map_err(|_| entry.at_value(tokens, WHAT.to_owned()))?;
        let known = Self::WORDS.iter().find(|(known, _)| *known == word.value());
        known.map(|(_, variant)| Self::Word(variant, word.span())).ok_or_else(|| {
            let near = suggestion(&word.value(), Self::WORDS.map(|(known, _)| known));
            let message = format!(
                "{:?} is no condition{near}\n{WHAT}: decided by the type of an error, never by its message",
                word.value()
            );
            syn::Error::new_spanned(&word, message)
        })
    }
}

/// The delay before a further attempt.
pub(crate) struct Backoff {
    pub(crate) kind: BackoffKind,
    pub(crate) first: Duration,
    pub(crate) max: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackoffKind {
    Fixed,
    Linear,
    Exponential,
}

impl BackoffKind {
    const WORDS: [&str; 3] = ["fixed", "linear", "exponential"];

    fn read(word: &str) -> Option<Self> {
        Some(match word {
            "fixed" => Self::Fixed,
            "linear" => Self::Linear,
            "exponential" => Self::Exponential,
            _ => return None,
        })
    }
}

/// Reads `#[task(arguments)] function`.
pub(crate) fn task(arguments: TokenStream, mut function: ItemFn, errors: &mut Errors) -> ParsedTask {
    let source_hash = fnv_1a(&[function.sig.to_token_stream(), function.block.to_token_stream()]);
    let (mut keyed, mut name) = (KeyedRetry::default(), None);
    let mut options = Options::default();
    let (mut after, mut dependencies) = (Vec::new(), Vec::new());
    let (mut conditions, mut retry_key) = (Vec::new(), None);
    let mut asks_for_retries = false;
    let mut until = None;
    let mut callbacks = Callbacks::default();
    for entry in entries("`#[task]`", arguments, Between::Equals, &KNOWN, errors) {
        match entry.key.to_string().as_str() {
            "name" | "id" => {
                let literal = errors.take(entry.text("\"load\""));
                if let (Some(_), Some(_)) = (&name, &literal) {
                    errors.at(&entry.key, "`name` and `id` are the same thing; give one of them");
                }
                name = literal.or(name);
            }
            "after" => after = errors.take(paths(&entry)).unwrap_or_default(),
            "dependencies" => dependencies = errors.take(texts(&entry)).unwrap_or_default(),
            "retry" => {
                asks_for_retries = true;
                options.retry = retry(&entry, errors);
            }
            "timeout" => {
                let literal = entry.text("\"30s\"");
                options.timeout = errors.take(literal.and_then(|text| duration(&text, Zero::Refused)));
            }
            "priority" => options.priority = errors.take(entry.number(i32::MIN..=i32::MAX, "-3")),
            "concurrency" => options.concurrency = errors.take(entry.number(1..=u32::MAX, "8")),
            "needs" => options.needs = needs(&entry, errors),
            "rate" => {
                let literal = entry.text("\"10/s\"");
                options.rate = errors.take(literal.and_then(|text| rate(&text).map(|()| text)));
            }
            "pool" => options.pool = errors.take(entry.text("\"images\"")),
            "blocking" => options.blocking = errors.take(entry.nothing()).map(|()| entry.span()),
            "retry_condition" => {
                retry_key = Some(entry.key.clone());
                options.retry_condition = errors.take(RetryCondition::read(&entry));
            }
            "when" | "trigger_rules" => conditions.push(entry),
            "until" => until = errors.take(form::until(&entry)),
            "on_success" | "on_failure" => callbacks.read(&entry, errors),
            _ => keyed.read(entry, errors),
        }
    }
    for second in conditions.iter().skip(1) {
        errors.at(&second.key, "`when` and `trigger_rules` are the same thing; give one of them");
    }
    let when_key = conditions.first().map(|entry| entry.key.clone());
    let when = conditions.first().and_then(|entry| when(entry, errors));
    if let Some(key) = retry_key.filter(|_| !keyed.says_attempts() && !asks_for_retries) {
        let message = "`retry_condition` says nothing without `retry_attempts`, the number of all attempts, or `retry(..)`";
        errors.at(&key, message);
    }
    if options.retry.is_some() && !keyed.is_empty() {
        keyed.refuse(errors);
    } else if let Some(retry) = keyed.finish(errors) {
        options.retry = Some(retry);
    }
    match &name {
        Some(name) => check_literal("name", name, errors),
        None => check_ident("name", &function.sig.ident, errors),
    }
    for dependency in &dependencies {
        check_literal("dependency", dependency, errors);
    }
    let ident = &function.sig.ident;
    let (name, name_span) = match name {
        Some(name) => (name.value(), name.span()),
        None => (ident.unraw().to_string(), ident.span()),
    };
    let parameters = parameters(&mut function, errors);
    ParsedTask {
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
    }
}

fn paths(entry: &Entry) -> syn::Result<Vec<Path>> {
    let tokens = entry.list("(load, other::task)")?;
    let paths = Punctuated::<Path, Token![,]>::parse_terminated.parse2(tokens.clone()).map_err(|_| {
        let message = "`after` names tasks by path, such as `after(load, other::task)`; names in quotes stand in \
                       `dependencies = [\"load\"]`";
        entry.at_value(&tokens, message.to_owned())
    })?;
    Ok(paths.into_iter().collect())
}

fn texts(entry: &Entry) -> syn::Result<Vec<LitStr>> {
    let list: ExprArray = entry.assigned("a list of texts", "[\"load\", \"split\"]")?;
    list.elems
        .iter()
        .map(|element| match element {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Ok(text.clone()),
            other => Err(syn::Error::new_spanned(
                other,
                "a dependency is named by a text here, such as \"load\"; paths stand in `after(load)`",
            )),
        })
        .collect()
}

/// Reads `needs(gpu = 1, memory = 4)`.
fn needs(entry: &Entry, errors: &mut Errors) -> Vec<(String, u32)> {
    const EXAMPLE: &str = "(gpu = 1, memory = 4)";
    let mut needs: Vec<(String, u32)> = Vec::new();
    let Some(tokens) = errors.take(entry.list(EXAMPLE)) else { return needs };
    if tokens.is_empty() {
        errors.at(&entry.key, format!("`needs` names resources of the worker: write `needs{EXAMPLE}`"));
    }
    for part in parts(tokens) {
        let read = |input: ParseStream<'_>| crate::entry::entry(input, Between::Equals);
        let Some(entry) = errors.take(read.parse2(part)) else { continue };
        let name = entry.key.unraw().to_string();
        let Some(units) = errors.take(entry.number(1..=u32::MAX, "1")) else { continue };
        if needs.iter().any(|(other, _)| *other == name) {
            errors.at(&entry.key, format!("`{name}` is given twice"));
        }
        needs.push((name, units));
    }
    needs
}

/// Reads `retry(attempts = 3, backoff = exponential("200ms", max = "5s"), jitter)`.
fn retry(entry: &Entry, errors: &mut Errors) -> Option<Retry> {
    let tokens = errors.take(entry.list("(attempts = 3)"))?;
    let mut attempts = None;
    let mut backoff = Backoff { kind: BackoffKind::Fixed, first: Duration::ZERO, max: None };
    let mut jitter = false;
    let mut complete = true;
    let all = entries("`retry`", tokens, Between::Equals, &["attempts", "backoff", "jitter"], errors);
    for entry in all {
        match entry.key.to_string().as_str() {
            "attempts" => match errors.take(entry.number(1..=ATTEMPTS_MAX, "3")) {
                Some(number) => attempts = Some(number),
                None => complete = false,
            },
            "backoff" => match backoff_call(&entry, errors) {
                Some(read) => backoff = read,
                None => complete = false,
            },
            _ => jitter = errors.take(entry.flag()).unwrap_or_default(),
        }
    }
    if attempts.is_none() && complete {
        errors.at(&entry.key, "`retry` wants `attempts`, all attempts counted: `retry(attempts = 3)`");
    }
    Some(Retry { attempts: attempts?, backoff, jitter })
}

/// Reads `exponential("200ms", max = "5s")`.
fn backoff_call(entry: &Entry, errors: &mut Errors) -> Option<Backoff> {
    const EXAMPLE: &str = "exponential(\"200ms\", max = \"5s\")";
    let call: syn::ExprCall = errors.take(entry.assigned("how the delay grows", EXAMPLE))?;
    let word = match &*call.func {
        syn::Expr::Path(path) => path.path.get_ident(),
        _ => None,
    };
    let Some(kind) = word.and_then(|word| BackoffKind::read(&word.to_string())) else {
        let word = call.func.to_token_stream().to_string();
        let near = suggestion(&word, BackoffKind::WORDS);
        errors.at(
            &call.func,
            format!("`{word}` is no backoff{near}\nit is one of: {}", BackoffKind::WORDS.join(", ")),
        );
        return None;
    };
    let mut arguments = call.args.iter();
    let first = match arguments.next() {
        Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. })) => duration(text, Zero::Allowed),
        other => {
            let place = other.map_or_else(|| call.func.to_token_stream(), ToTokens::to_token_stream);
            Err(syn::Error::new_spanned(place, format!("the first delay stands here, such as `{EXAMPLE}`")))
        }
    };
    let first = errors.take(first);
    let mut max = None;
    let rest: Punctuated<syn::Expr, Token![,]> = arguments.cloned().collect();
    for entry in entries("the backoff", rest.to_token_stream(), Between::Equals, &["max"], errors) {
        if kind == BackoffKind::Fixed {
            errors.at(&entry.key, "a fixed delay has no `max`");
            continue;
        }
        let literal = entry.text("\"5s\"");
        max = errors.take(literal.and_then(|text| {
            let cap = duration(&text, Zero::Refused)?;
            match first {
                Some(first) if cap < first => {
                    Err(syn::Error::new_spanned(text, "`max` is shorter than the first delay"))
                }
                _ => Ok(cap),
            }
        }));
    }
    Some(Backoff { kind, first: first?, max })
}

/// The entries `retry_attempts`, `retry_delay_ms`, …, which together are one policy.
#[derive(Default)]
struct KeyedRetry {
    keys: Vec<Ident>,
    attempts: Option<u32>,
    delay_ms: Option<u64>,
    max_delay_ms: Option<u64>,
    backoff: Option<BackoffKind>,
    jitter: bool,
    broken: bool,
}

impl KeyedRetry {
    fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn says_attempts(&self) -> bool {
        self.keys.iter().any(|key| key == "retry_attempts")
    }

    fn read(&mut self, entry: Entry, errors: &mut Errors) {
        let read = match entry.key.to_string().as_str() {
            "retry_attempts" => {
                entry.number(1..=ATTEMPTS_MAX, "3").map(|number| self.attempts = Some(number))
            }
            "retry_delay_ms" => {
                entry.number(0..=DELAY_MS_MAX, "1000").map(|number| self.delay_ms = Some(number))
            }
            "retry_max_delay_ms" => {
                entry.number(1..=DELAY_MS_MAX, "60000").map(|number| self.max_delay_ms = Some(number))
            }
            "retry_backoff" => entry.text("\"exponential\"").and_then(|word| {
                self.backoff = Some(BackoffKind::read(&word.value()).ok_or_else(|| {
                    let near = suggestion(&word.value(), BackoffKind::WORDS);
                    let words = BackoffKind::WORDS.join(", ");
                    syn::Error::new_spanned(
                        &word,
                        format!("{:?} is no backoff{near}\nit is one of: {words}", word.value()),
                    )
                })?);
                Ok(())
            }),
            _ => entry.flag().map(|jitter| self.jitter = jitter),
        };
        self.broken |= errors.take(read).is_none();
        self.keys.push(entry.key);
    }

    fn refuse(&self, errors: &mut Errors) {
        for key in &self.keys {
            errors.at(key, format!("`{key}` says again what `retry(..)` says; keep one of the two"));
        }
    }

    fn finish(self, errors: &mut Errors) -> Option<Retry> {
        if self.broken {
            return None;
        }
        let Some(attempts) = self.attempts else {
            for key in &self.keys {
                errors.at(
                    key,
                    format!("`{key}` says nothing without `retry_attempts`, the number of all attempts"),
                );
            }
            return None;
        };
        let kind = self.backoff.unwrap_or(BackoffKind::Fixed);
        let default_ms = if kind == BackoffKind::Fixed { 0 } else { 1000 };
        let first = Duration::from_millis(self.delay_ms.unwrap_or(default_ms));
        let max = self.max_delay_ms.map(Duration::from_millis);
        if max.is_some_and(|max| max < first)
            && let Some(key) = self.keys.iter().find(|key| *key == "retry_max_delay_ms")
        {
            errors.at(key, "`retry_max_delay_ms` is shorter than the first delay");
        }
        Some(Retry { attempts, backoff: Backoff { kind, first, max }, jitter: self.jitter })
    }
}

/// Takes `#[from(..)]` off the parameters and lists them.
fn parameters(function: &mut ItemFn, errors: &mut Errors) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for parameter in &mut function.sig.inputs {
        let parameter = match parameter {
            FnArg::Typed(parameter) => parameter,
            FnArg::Receiver(receiver) => {
                errors.at(receiver, "a task is a free function; it has no `self`");
                continue;
            }
        };
        let mut from = None;
        parameter.attrs.retain(|attribute| {
            if !attribute.path().is_ident("from") {
                return true;
            }
            match attribute.parse_args::<Path>() {
                Ok(_) if from.is_some() => errors.at(attribute, "`#[from(..)]` is given twice"),
                Ok(path) => from = Some(path),
                Err(_) => errors.at(attribute, "write the path of a task: `#[from(other::task)]`"),
            }
            false
        });
        for attribute in &parameter.attrs {
            if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
                errors.at(
                    attribute,
                    "a parameter of a task cannot be configured away; configure the whole task",
                );
            }
        }
        let ident = match &*parameter.pat {
            Pat::Ident(pattern) => Some(pattern.ident.clone()),
            _ => None,
        };
        let pattern = (*parameter.pat).clone();
        parameters.push(Parameter { ident, from, pattern, ty: (*parameter.ty).clone() });
    }
    parameters
}

/// FNV-1a, 64 bits, of the tokens' text; white space and comments do not count.
fn fnv_1a(tokens: &[TokenStream]) -> u64 {
    let text = tokens.iter().map(TokenStream::to_string).collect::<String>();
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
