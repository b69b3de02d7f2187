//! Rows of one table on their way in, many in a statement.
//!
//! A statement costs as much as the row that it stores: a cursor is opened in every tree, and each search begins
//! at a root. So as many rows as fit go into one statement, and what is left goes row by row: two texts per kind
//! of row, each prepared once. What diesel makes of `insert_into(..).values(..)` is prepared anew for every
//! number of rows, and for a single row it takes longer to walk through its columns than SQLite to store them.

use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::HasSqlType;
use diesel::sqlite::{Sqlite, SqliteConnection};

/// How many rows fit into one statement. More gain little: at 16 a row costs as good as nothing but itself.
const ROWS_PER_STATEMENT: usize = 16;

/// A row that goes in with others, where the columns suffice that all of them bind.
pub(super) trait Row {
    /// What the prepared statement is known by: the type itself, with any lifetime.
    type Id: 'static;

    /// SQL: the table, and the columns that nearly every row has.
    const INTO: &'static str;

    /// Whether all its other columns are null.
    fn is_plain(&self) -> bool;

    /// Binds these columns, in this order.
    fn bind<'b>(&'b self, values: &mut Values<'_, 'b>) -> QueryResult<()>;
}

/// Inserts rows, in their order: plain ones together, the others by `one`.
pub(super) fn insert<R: Row>(
    connection: &mut SqliteConnection,
    rows: &[R],
    one: impl Fn(&mut SqliteConnection, &R) -> QueryResult<usize>,
) -> QueryResult<()> {
    rows.chunk_by(|row, next| row.is_plain() == next.is_plain()).try_for_each(|rows| {
        if rows.iter().all(R::is_plain) {
            insert_plain(connection, rows)
        } else {
            rows.iter().try_for_each(|row| one(connection, row).map(drop))
        }
    })
}

fn insert_plain<R: Row>(connection: &mut SqliteConnection, rows: &[R]) -> QueryResult<()> {
    let (chunks, rest) = rows.as_chunks::<ROWS_PER_STATEMENT>();
    chunks.iter().try_for_each(|rows| Insert(rows).execute(connection).map(drop))?;
    rest.iter().try_for_each(|row| Insert(std::array::from_ref(row)).execute(connection).map(drop))
}

/// The values of one row.
pub(super) struct Values<'a, 'b> {
    out: AstPass<'a, 'b, Sqlite>,
    before: &'static str,
}

impl<'b> Values<'_, 'b> {
    /// Binds the next column.
    pub(super) fn push<T, U>(&mut self, value: &'b U) -> QueryResult<()>
    where
        Sqlite: HasSqlType<T>,
        U: ToSql<T, Sqlite> + ?Sized,
    {
        self.out.push_sql(self.before);
        self.before = ", ";
        self.out.push_bind_param(value)
    }
}

struct Insert<'a, R, const N: usize>(&'a [R; N]);

impl<R: Row, const N: usize> QueryFragment<Sqlite> for Insert<'_, R, N> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(R::INTO);
        let mut before = " values (";
        for row in self.0 {
            row.bind(&mut Values { out: out.reborrow(), before })?;
            before = "), (";
        }
        out.push_sql(")");
        Ok(())
    }
}

impl<R: Row, const N: usize> QueryId for Insert<'_, R, N> {
    type QueryId = Insert<'static, R::Id, N>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R: Row, const N: usize> RunQueryDsl<SqliteConnection> for Insert<'_, R, N> {}
