//! The rules of names, as the engine has them, checked while compiling.

use syn::LitStr;

use crate::errors::Errors;

const NAME_BYTES_MAX: usize = 255;

/// What is wrong with a name; `None` when it is good.
fn problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.len() > NAME_BYTES_MAX {
        Some("is longer than 255 bytes")
    } else if name.chars().any(char::is_control) {
        Some("has a control character")
    } else if name.trim() != name {
        Some("begins or ends with white space")
    } else {
        None
    }
}

/// Checks a name that stands in a literal.
pub(crate) fn check_literal(what: &str, name: &LitStr, errors: &mut Errors) {
    if let Some(problem) = problem(&name.value()) {
        errors.at(
            name,
            format!("the {what} {problem}; a name has 1 to 255 bytes, no control characters and no outer white space"),
        );
    }
}

/// Checks a name that is an identifier.
pub(crate) fn check_ident(what: &str, name: &syn::Ident, errors: &mut Errors) {
    if let Some(problem) = problem(&name.to_string()) {
        errors.at(name, format!("the {what} {problem}; give another by `name = \"..\"`"));
    }
}

/// `; did you mean ..?` for the nearest known name, when one is near enough to be a slip of the finger.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// The nearest known name: edit distance with swaps of neighbours, at most a third of the longer name.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(3, name, known)
}

/// The nearest known type, which is nearer than names need be, since a type of the user's own may be called
/// anything (`Page` is not `Pair`): at most a quarter of the longer name.
pub(crate) fn nearest_type<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_within(4, name, known)
}

fn nearest_within<'a>(part: usize, name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter(|candidate| !candidate.is_empty())
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= name.len().max(candidate.len()).div_ceil(part))
        .min()
        .map(|(_, candidate)| candidate)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["extract", "transform", "load"];
        assert_eq!(nearest("extrct", known), Some("extract"));
        assert_eq!(nearest("laod", known), Some("load"));
        assert_eq!(nearest("report", known), None);
    }

    #[test]
    fn a_type_of_the_users_own_is_no_slip_of_the_finger() {
        let known = ["Input", "Previous", "Each", "Pair", "Settled"];
        for (name, near) in [
            ("Pairs", Some("Pair")),
            ("Pari", Some("Pair")),
            ("Previus", Some("Previous")),
            ("Imput", Some("Input")),
            ("Setled", Some("Settled")),
            ("Page", None),
            ("Path", None),
            ("Preview", None),
        ] {
            assert_eq!(nearest_type(name, known), near, "{name}");
        }
    }

    #[test]
    fn names_are_checked() {
        for (name, good) in
            [("load", true), ("größe 2/x.y", true), ("", false), (" a", false), ("a\n", false)]
        {
            assert_eq!(problem(name).is_none(), good, "{name:?}");
        }
        assert!(problem(&"x".repeat(256)).is_some());
    }
}
