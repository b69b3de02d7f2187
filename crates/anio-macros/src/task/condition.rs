//! Conditions: `when = any(succeeded(a), value("n", less_than, 3))`, and the same with names in quotes,
//! `trigger_rules = any(task_success("a"), context_value("n", less_than, 3))`.

use proc_macro2::{Literal, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Ident, Lit, LitStr, Path, Token, parenthesized};

use crate::entry::{Entry, Value, parts};
use crate::errors::Errors;
use crate::names::{check_literal, nearest, suggestion};
use crate::task::check::Target;
use crate::task::expand::respan;

/// What `when` says.
pub(crate) enum When {
    Condition(Condition),
    /// A function of the task's own inputs.
    Function(Path),
}

/// When a task runs.
pub(crate) enum Condition {
    Always,
    /// The word of the group, as the function that makes it is called.
    Group(&'static str, Vec<Condition>),
    /// How it settled, as the function is called that asks for it.
    Task(&'static str, Target),
    /// The key, the comparison as its function is called, and what it compares with.
    Value(LitStr, &'static str, Option<TokenStream>),
}

/// The two ways to write one thing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `when`: tasks by path.
    When,
    /// `trigger_rules`: tasks by name.
    TriggerRules,
}

/// What each word is: in `when`, in `trigger_rules`, and as a function of the core's `Condition`.
const WORDS: [(&str, Option<&str>, Word); 9] = [
    ("always", Some("always"), Word::Always),
    ("all", Some("all"), Word::Group("all")),
    ("any", Some("any"), Word::Group("any")),
    ("none", Some("none"), Word::Group("none")),
    ("succeeded", Some("task_success"), Word::Task("succeeded")),
    ("failed", Some("task_failed"), Word::Task("failed")),
    ("skipped", Some("task_skipped"), Word::Task("skipped")),
    ("done", None, Word::Task("done")),
    ("value", Some("context_value"), Word::Value),
];

/// The comparisons; the last two take nothing to compare with.
const TESTS: [&str; 8] =
    ["equals", "not_equals", "greater_than", "less_than", "contains", "not_contains", "exists", "not_exists"];

#[derive(Clone, Copy)]
enum Word {
    Always,
    Group(&'static str),
    Task(&'static str),
    Value,
}

impl Style {
    fn of(entry: &Entry) -> Self {
        if entry.key == "when" { Self::When } else { Self::TriggerRules }
    }

    fn key(self) -> &'static str {
        match self {
            Self::When => "when",
            Self::TriggerRules => "trigger_rules",
        }
    }

    /// All that a condition may be.
    fn forms(self) -> &'static str {
        match self {
            Self::When => {
                "always, all(..), any(..), none(..), succeeded(task), failed(task), skipped(task), done(task), \
                 value(\"key\", op, literal), or, alone, the path of a function of the task's inputs"
            }
            Self::TriggerRules => {
                "always, all(..), any(..), none(..), task_success(\"id\"), task_failed(\"id\"), task_skipped(\"id\"), \
                 context_value(\"key\", op, literal)"
            }
        }
    }

    fn words(self) -> impl Iterator<Item = (&'static str, Word)> {
        WORDS.into_iter().filter_map(move |(when, rule, word)| match self {
            Self::When => Some((when, word)),
            Self::TriggerRules => rule.map(|rule| (rule, word)),
        })
    }

    /// How the word of the other style is written in this one.
    fn translated(self, word: &str) -> Option<&'static str> {
        WORDS.into_iter().find_map(|(when, rule, _)| match self {
            Self::When => (rule == Some(word)).then_some(when),
            Self::TriggerRules => rule.filter(|_| when == word),
        })
    }
}

impl Condition {
    /// The tasks that it asks about, in the order of the text.
    pub(crate) fn tasks(&self) -> Vec<&Target> {
        match self {
            Self::Always | Self::Value(..) => Vec::new(),
            Self::Group(_, conditions) => conditions.iter().flat_map(Self::tasks).collect(),
            Self::Task(_, target) => vec![target],
        }
    }
}

/// Reads `when = ..` or `trigger_rules = ..`; `None` when it cannot be read, which has been noted.
pub(crate) fn when(entry: &Entry, errors: &mut Errors) -> Option<When> {
    let style = Style::of(entry);
    let Value::Assigned(tokens) = &entry.value else {
        let message =
            format!("write `{} = <condition>`\na condition is one of: {}", style.key(), style.forms());
        errors.at(&entry.key, message);
        return None;
    };
    if style == Style::When
        && let Some(path) = function(tokens)
    {
        return Some(When::Function(path));
    }
    read(tokens, style, errors).map(When::Condition)
}

/// The path of a function; `None` for the words of conditions, and what is nearly `always`, the one word
/// that stands without parentheses.
fn function(tokens: &TokenStream) -> Option<Path> {
    let path = Path::parse_mod_style.parse2(tokens.clone()).ok()?;
    let Some(ident) = path.get_ident() else { return Some(path) };
    let name = ident.unraw().to_string();
    let is_word = WORDS.into_iter().any(|(when, rule, _)| when == name || rule == Some(&name));
    (!is_word && nearest(&name, ["always"]).is_none()).then_some(path)
}

fn read(tokens: &TokenStream, style: Style, errors: &mut Errors) -> Option<Condition> {
    let no_condition =
        |what: &str, near: &str| format!("`{what}` is no condition{near}\nit is one of: {}", style.forms());
    let Ok((ident, list)) = word.parse2(tokens.clone()) else {
        errors.at(tokens, no_condition(&shown(tokens), ""));
        return None;
    };
    let name = ident.unraw().to_string();
    let Some((_, word)) = style.words().find(|(known, _)| *known == name) else {
        let near = match style.translated(&name) {
            Some(word) => format!("; in `{}` it is written `{word}`", style.key()),
            None if style == Style::When && list.is_none() && nearest(&name, ["always"]).is_some() => {
                format!("; did you mean `always`? a function is named by `self::{name}`")
            }
            None if name == "done" => "; a task waits until all its dependencies are done".to_owned(),
            None => suggestion(&name, style.words().map(|(word, _)| word)),
        };
        errors.at(&ident, no_condition(&name, &near));
        return None;
    };
    match (word, list) {
        (Word::Always, None) => Some(Condition::Always),
        (Word::Always, Some(_)) => {
            errors.at(tokens, "`always` stands alone");
            None
        }
        (Word::Group(function), Some(list)) => group(function, &ident, list, style, errors),
        (Word::Task(function), Some(list)) => {
            let target = errors.take(target(&ident, &list, style))?;
            if let Target::Name(name) = &target {
                check_literal("name", name, errors);
            }
            Some(Condition::Task(function, target))
        }
        (Word::Value, Some(list)) => value(&ident, list, errors),
        (_, None) => {
            let inside = match (word, style) {
                (Word::Task(_), Style::When) => "task",
                (Word::Task(_), Style::TriggerRules) => "\"id\"",
                (Word::Value, _) => "\"key\", op, literal",
                (Word::Always | Word::Group(_), _) => "..",
            };
            errors.at(&ident, format!("write `{name}({inside})`"));
            None
        }
    }
}

/// A word, with what stands behind it in parentheses.
fn word(input: ParseStream<'_>) -> syn::Result<(Ident, Option<TokenStream>)> {
    let ident = Ident::parse_any(input)?;
    if input.is_empty() {
        return Ok((ident, None));
    }
    let inner;
    parenthesized!(inner in input);
    let list = inner.parse()?;
    if input.is_empty() { Ok((ident, Some(list))) } else { Err(input.error("expected `,`")) }
}

fn group(
    function: &'static str,
    ident: &Ident,
    list: TokenStream,
    style: Style,
    errors: &mut Errors,
) -> Option<Condition> {
    let parts = parts(list);
    if parts.is_empty() {
        errors.at(ident, format!("`{ident}` is over conditions; name at least one"));
        return None;
    }
    let conditions: Vec<_> = parts.iter().map(|part| read(part, style, errors)).collect();
    // A group that lacks one still says which tasks the others ask about, so that those are checked too.
    Some(Condition::Group(function, conditions.into_iter().flatten().collect()))
}

fn target(word: &Ident, list: &TokenStream, style: Style) -> syn::Result<Target> {
    let place = if list.is_empty() { word.to_token_stream() } else { list.clone() };
    match style {
        Style::When => syn::parse2::<Path>(list.clone()).map(Target::Path).map_err(|_| {
            let message = format!(
                "`{word}` names one task by its path, such as `{word}(load)`; names in quotes stand in `trigger_rules`"
            );
            syn::Error::new_spanned(place, message)
        }),
        Style::TriggerRules => syn::parse2::<LitStr>(list.clone()).map(Target::Name).map_err(|_| {
            let message =
                format!("`{word}` names one task by a text, such as `{word}(\"load\")`; paths stand in `when`");
            syn::Error::new_spanned(place, message)
        }),
    }
}

/// Reads `"key", op, literal`.
fn value(word: &Ident, list: TokenStream, errors: &mut Errors) -> Option<Condition> {
    let parts = parts(list);
    let [key, test, rest @ ..] = &parts[..] else {
        errors.at(
            word,
            format!("write `{word}(\"key\", op, literal)`, where op is one of: {}", TESTS.join(", ")),
        );
        return None;
    };
    let key = syn::parse2::<LitStr>(key.clone())
        .map_err(|_| syn::Error::new_spanned(key, "the key is a text, such as `\"rows\"`"));
    let key = errors.take(key);
    let name = shown(test);
    let Some(test) = TESTS.into_iter().find(|known| *known == name) else {
        let near = suggestion(&name, TESTS);
        errors.at(test, format!("`{name}` is no comparison{near}\nit is one of: {}", TESTS.join(", ")));
        return None;
    };
    let other = match (test, rest) {
        ("exists" | "not_exists", []) => None,
        ("exists" | "not_exists", [extra, ..]) | (_, [_, extra, ..]) => {
            let n = if test.ends_with("exists") { "nothing" } else { "one value" };
            errors.at(extra, format!("`{test}` compares with {n}"));
            return None;
        }
        (_, []) => {
            errors.at(&parts[1], format!("`{test}` compares with a value: `{word}(\"key\", {test}, 3)`"));
            return None;
        }
        (_, [other]) => Some(errors.take(literal(other))?),
    };
    Some(Condition::Value(key?, test, other))
}

/// Reads a number, `true`, `false` or a text, as an expression of one type.
fn literal(tokens: &TokenStream) -> syn::Result<TokenStream> {
    let wrong = |message: &str| syn::Error::new_spanned(tokens, message);
    let read = |input: ParseStream<'_>| {
        let minus = input.parse::<Option<Token![-]>>()?.is_some();
        Ok((minus, input.parse::<Lit>()?))
    };
    let literal = read.parse2(tokens.clone());
    let (minus, literal) =
        literal.map_err(|_| wrong("the value is a literal: a number, `true`, `false` or a text"))?;
    let sign = if minus { "-" } else { "" };
    let read = match &literal {
        Lit::Str(text) if !minus => return Ok(text.to_token_stream()),
        Lit::Bool(truth) if !minus => return Ok(truth.to_token_stream()),
        Lit::Int(number) => {
            let text = format!("{sign}{}", number.base10_digits());
            match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(number), _) => Literal::i64_suffixed(number).to_token_stream(),
                (_, Ok(number)) => Literal::u64_suffixed(number).to_token_stream(),
                _ => return Err(wrong("the number does not fit into 64 bits")),
            }
        }
        Lit::Float(number) => {
            let number = format!("{sign}{}", number.base10_digits()).parse::<f64>();
            let number = number.ok().filter(|number| number.is_finite());
            Literal::f64_suffixed(number.ok_or_else(|| wrong("the number is too large"))?).to_token_stream()
        }
        _ => return Err(wrong("the value is a literal: a number, `true`, `false` or a text")),
    };
    Ok(respan(read, literal.span()))
}

fn shown(tokens: &TokenStream) -> String {
    tokens.to_string().replace(' ', "")
}
