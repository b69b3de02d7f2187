//! SQL with a bug in it, where one is [planted](anio_core::plant).

use std::borrow::Cow;

use anio_core::plant::{Plant, is_planted};

/// The SQL as it is; with the bug planted, with `part` of it replaced.
///
/// # Panics
/// Where the part is not there: a bug that changes nothing would never be found.
pub(crate) fn sown(
    sql: impl Into<Cow<'static, str>>,
    plant: Plant,
    part: &str,
    instead: &str,
) -> Cow<'static, str> {
    let sql = sql.into();
    if !is_planted(plant) {
        return sql;
    }
    assert!(sql.contains(part), "{plant:?} finds no {part:?} in {sql}");
    Cow::Owned(sql.replace(part, instead))
}
