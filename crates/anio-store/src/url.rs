//! Which store a URL names.

use std::path::PathBuf;

use crate::error::StoreError;

const ALLOWED: &str =
    "allowed are sqlite://<path>, <path>.db, memory: and postgres://<user>@<host>/<database>";

/// A store, by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Memory of this process alone.
    Memory,
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A Postgres database; the URL as it was given, password and all.
    Postgres(String),
}

/// Reads a URL.
///
/// `sqlite::memory:` is `memory:`: SQLite's own databases in memory cannot be read beside a writer without
/// each waiting for the other, and keep nothing that memory does not.
pub(crate) fn parse(url: &str) -> Result<Location, StoreError> {
    let invalid = |problem: String| Err(StoreError::InvalidUrl { url: without_password(url), problem });
    if matches!(url, "memory:" | "memory://" | "sqlite::memory:" | "sqlite://:memory:" | ":memory:") {
        return Ok(Location::Memory);
    }
    if let Some(path) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
        if path.is_empty() {
            return invalid("it names no file; sqlite://runs.db is one in this directory".to_owned());
        }
        return match path.split_once('?') {
            Some((_, parameters)) => {
                let first = parameters.split(['=', '&']).next().unwrap_or_default();
                invalid(format!("parameter {first:?} is unknown; a SQLite URL takes none"))
            }
            None => Ok(Location::Sqlite(PathBuf::from(path))),
        };
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Location::Postgres(url.to_owned()));
    }
    match url.split_once(':') {
        // One letter and a colon is a drive of Windows.
        Some((scheme, _)) if scheme.len() > 1 && !scheme.contains(['/', '\\', '.']) => {
            invalid(format!("scheme {scheme:?} is unknown; {ALLOWED}"))
        }
        _ if [".db", ".sqlite", ".sqlite3"].iter().any(|ending| url.ends_with(ending)) => {
            Ok(Location::Sqlite(PathBuf::from(url)))
        }
        _ => invalid(format!("it names no store; {ALLOWED}")),
    }
}

/// A URL that may be shown: its password, in the authority or among the parameters, replaced by `***`.
pub(crate) fn without_password(url: &str) -> String {
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", without_authority_password(rest)),
        None => url.to_owned(),
    };
    let Some((url, parameters)) = shown.split_once('?') else { return shown };
    let parameters = parameters.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
        _ => parameter.to_owned(),
    });
    format!("{url}?{}", parameters.collect::<Vec<_>>().join("&"))
}

/// A password may hold an `@`, a `/` or a `?` that nobody escaped: all up to the last `@` is hidden.
fn without_authority_password(rest: &str) -> String {
    let Some((user, host)) = rest.rsplit_once('@') else { return rest.to_owned() };
    match user.split_once(':') {
        Some((user, _)) => format!("{user}:***@{host}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_stores() {
        let sqlite = |path: &str| Some(Location::Sqlite(PathBuf::from(path)));
        for (url, expected) in [
            ("sqlite://runs.db", sqlite("runs.db")),
            ("sqlite:///var/lib/a b/runs", sqlite("/var/lib/a b/runs")),
            ("sqlite:runs.db", sqlite("runs.db")),
            ("runs.db", sqlite("runs.db")),
            ("./größe/runs.sqlite3", sqlite("./größe/runs.sqlite3")),
            ("/tmp/a:b.sqlite", sqlite("/tmp/a:b.sqlite")),
            ("memory:", Some(Location::Memory)),
            ("sqlite::memory:", Some(Location::Memory)),
            ("postgres://u:p@h/d", Some(Location::Postgres("postgres://u:p@h/d".to_owned()))),
            ("postgresql:///d", Some(Location::Postgres("postgresql:///d".to_owned()))),
            ("", None),
            ("runs", None),
            ("sqlite:", None),
            ("sqlite://", None),
            ("sqlite://runs.db?mode=ro", None),
            ("mysql://u:p@h/d", None),
            ("POSTGRES://h/d", None),
            ("http:runs.db", None),
        ] {
            assert_eq!(parse(url).ok(), expected, "{url:?}");
        }
    }

    #[test]
    fn an_error_says_what_is_allowed_and_never_the_password() {
        for (url, shown) in [
            ("mysql://user:s3cret@host/d", "mysql://user:***@host/d"),
            ("mysql://user:s3cr@et/x@host/d", "mysql://user:***@host/d"),
            ("mysql://user:s3c?r&et@host/d", "mysql://user:***@host/d"),
            ("mysql://host/d?user=u&password=s3cret", "mysql://host/d?user=u&password=***"),
            ("mysql://user@host/d", "mysql://user@host/d"),
        ] {
            assert_eq!(without_password(url), shown);
            let error = parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3c"), "{error}");
            assert!(error.to_string().contains("postgres://<user>@<host>/<database>"), "{error}");
        }
        let error = parse("sqlite://a.db?cache=shared").unwrap_err().to_string();
        assert!(error.contains("\"cache\""), "{error}");
    }
}
