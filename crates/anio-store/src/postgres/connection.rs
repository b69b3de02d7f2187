//! A diesel connection that speaks the Postgres protocol by itself, by way of tokio-postgres: no libpq.
//!
//! It differs from the connection of diesel-async, which stands on the same driver, in two things that the
//! engine rests on:
//!
//! - **Errors keep their SQLSTATE.** diesel's own error kinds do not tell a deadlock from a full disk, and
//!   nothing here is decided by the text of a message. An error of the driver travels unchanged inside
//!   [`diesel::result::Error::QueryBuilderError`], whose content can be asked for its type.
//! - **Every statement is prepared once**, by its text; `sql_query` too, which other connections prepare
//!   anew each time. That is sound because all texts of this backend are constants, or made of a few.
//!
//! Blocking: the connection owns a runtime of one thread and drives it while it waits. It must therefore
//! not be used from within another runtime. Between calls nobody reads the socket, which the protocol
//! allows: the server only speaks when it is spoken to.

use std::collections::HashMap;
use std::future::Future;
use std::num::NonZeroU32;
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;

use diesel::QueryResult;
use diesel::connection::{
    AnsiTransactionManager, CacheSize, Connection as DieselConnection, ConnectionSealed, Instrumentation,
    LoadConnection, SimpleConnection,
};
use diesel::expression::QueryMetadata;
use diesel::migration::Migration;
use diesel::pg::{GetPgMetadataCache, Pg, PgMetadataCache, PgQueryBuilder, PgTypeMetadata, PgValue};
use diesel::query_builder::bind_collector::RawBytesBindCollector;
use diesel::query_builder::{Query, QueryBuilder, QueryFragment, QueryId};
use diesel::result::Error as DieselError;
use diesel::row::{Field, PartialRow, Row as DieselRow, RowIndex, RowSealed};
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type};
use tokio_postgres::{Client, Row as WireRow, Statement};

use super::address::{Address, LoginError};

/// More texts than the backend has; a bound all the same, since each costs memory on the server.
const N_STATEMENTS_MAX: usize = 64;

/// One session on the server.
pub(super) struct Connection {
    client: Client,
    /// The task that serves the socket.
    serving: AbortHandle,
    /// How long an answer may take; `None` while a migration runs.
    answer_timeout: Option<Duration>,
    // Serves the socket in a task of its own. `None` only while this value is dropped.
    runtime: Option<Runtime>,
    prepared: HashMap<String, Statement>,
    types: PgMetadataCache,
    transactions: AnsiTransactionManager,
    instrumentation: Option<Box<dyn Instrumentation>>,
    /// What went wrong in the migration that runs, see [`Connection::migrate`].
    migration_error: Option<DieselError>,
    n_statements: u64,
}

impl Connection {
    /// Connects and logs in.
    pub(super) fn open(address: &Address) -> Result<Self, LoginError> {
        let runtime = runtime();
        let (client, serving) = runtime.block_on(address.connect())?;
        Ok(Self {
            client,
            serving,
            answer_timeout: Some(address.answer_timeout()),
            runtime: Some(runtime),
            prepared: HashMap::new(),
            types: PgMetadataCache::new(),
            transactions: AnsiTransactionManager::default(),
            instrumentation: None,
            migration_error: None,
            n_statements: 0,
        })
    }

    /// Whether the session is known to have ended, after a look at the socket. Sends nothing.
    pub(super) fn is_closed(&self) -> bool {
        // A task that yields is only woken after the runtime has looked for news from its sockets; a
        // second time lets the task that serves this one act on them.
        self.block_on(async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        });
        self.client.is_closed()
    }

    /// How many statements were sent, `begin` and `commit` included.
    pub(super) const fn n_statements(&self) -> u64 {
        self.n_statements
    }

    /// Runs `work` between `begin` and `commit`; rolled back when it fails.
    pub(super) fn in_transaction<T, E: From<DieselError>>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, TransactionError<E>> {
        self.batch("begin").map_err(|error| TransactionError::Undone(error.into()))?;
        match work(self) {
            Ok(value) => match self.batch("commit") {
                Ok(()) => Ok(value),
                Err(error) => Err(TransactionError::Unfinished(error.into())),
            },
            Err(error) => {
                // When this fails too, the session is gone, and the transaction with it.
                let _ = self.batch("rollback");
                Err(TransactionError::Undone(error))
            }
        }
    }

    /// Does something that may take as long as it takes: a lock of another who migrates, an index of a large
    /// table.
    pub(super) fn without_hurry<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let answer_timeout = self.answer_timeout.take();
        let value = work(self);
        self.answer_timeout = answer_timeout;
        value
    }

    /// Runs a migration. `diesel_migrations` wraps the error of a statement in a type of its own that nobody
    /// else can name; so the error is kept here, and only a stand-in goes that way.
    pub(super) fn migrate(&mut self, migration: &dyn Migration<Pg>) -> Result<(), MigrationFailure> {
        self.migration_error = None;
        migration.run(self).map_err(|wrapped| match self.migration_error.take() {
            Some(error) => MigrationFailure::Statement(error),
            None => MigrationFailure::Other(wrapped),
        })
    }

    /// Runs statements without parameters, one after the other.
    pub(super) fn batch(&mut self, sql: &str) -> QueryResult<()> {
        self.n_statements += 1;
        self.ask(self.client.batch_execute(sql))
    }

    /// Waits for an answer. When that takes too long the socket is closed, and the answer is that the session
    /// has ended.
    fn ask<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> QueryResult<T> {
        let answer = self.block_on(async {
            let mut asked = pin!(asked);
            let Some(timeout) = self.answer_timeout else { return asked.await };
            if let Ok(answer) = tokio::time::timeout(timeout, &mut asked).await {
                return answer;
            }
            self.serving.abort();
            asked.await
        });
        answer.map_err(driver)
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().expect("the runtime is taken on drop only").block_on(future)
    }

    fn prepare<T: QueryFragment<Pg> + ?Sized>(&mut self, query: &T) -> QueryResult<(Statement, Vec<Bind>)> {
        let mut builder = PgQueryBuilder::default();
        query.to_sql(&mut builder, &Pg)?;
        let sql = builder.finish();
        let mut binds = RawBytesBindCollector::<Pg>::new();
        query.collect_binds(&mut binds, self, &Pg)?;
        let RawBytesBindCollector { metadata, binds, .. } = binds;
        let binds = binds.into_iter().map(Bind).collect();
        if let Some(statement) = self.prepared.get(&sql) {
            return Ok((statement.clone(), binds));
        }
        let types: Vec<Type> = metadata.iter().map(type_of).collect::<QueryResult<_>>()?;
        self.n_statements += 1;
        let statement = self.ask(self.client.prepare_typed(&sql, &types))?;
        if self.prepared.len() >= N_STATEMENTS_MAX {
            self.prepared.clear();
        }
        self.prepared.insert(sql, statement.clone());
        Ok((statement, binds))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if tokio::runtime::Handle::try_current().is_ok() {
            // Inside another runtime nothing may block; the socket is closed without a farewell.
            runtime.shutdown_background();
        }
    }
}

/// A runtime that its owner drives while it waits.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs only a file descriptor")
}

/// How a transaction failed.
#[derive(Debug)]
pub(super) enum TransactionError<E> {
    /// Before its commit was sent: nothing of it is stored.
    Undone(E),
    /// At its commit: without an answer of the server nobody knows whether it is stored.
    Unfinished(E),
}

/// How a migration failed.
#[derive(Debug)]
pub(super) enum MigrationFailure {
    /// A statement failed.
    Statement(DieselError),
    /// Something else.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// An error of the driver on its way through diesel.
pub(super) fn driver(error: tokio_postgres::Error) -> DieselError {
    DieselError::QueryBuilderError(Box::new(error))
}

fn type_of(metadata: &PgTypeMetadata) -> QueryResult<Type> {
    let oid = metadata.oid().map_err(|error| DieselError::SerializationError(Box::new(error)))?;
    // All types of this backend's statements are built in; one that is not is left for the server to find.
    Ok(Type::from_oid(oid).unwrap_or(Type::UNKNOWN))
}

/// Only migrations come this way; see [`Connection::migrate`].
impl SimpleConnection for Connection {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        self.batch(query).map_err(|error| {
            self.migration_error = Some(error);
            DieselError::RollbackTransaction
        })
    }
}

impl ConnectionSealed for Connection {}

impl DieselConnection for Connection {
    type Backend = Pg;
    type TransactionManager = AnsiTransactionManager;

    fn establish(url: &str) -> diesel::ConnectionResult<Self> {
        let address = Address::parse(url)
            .map_err(|error| diesel::ConnectionError::InvalidConnectionUrl(error.to_string()))?;
        Self::open(&address).map_err(|error| {
            diesel::ConnectionError::CouldntSetupConfiguration(match error {
                LoginError::Driver(error) => driver(error),
                LoginError::Silent(_) => DieselError::QueryBuilderError(Box::new(std::io::Error::from(
                    std::io::ErrorKind::TimedOut,
                ))),
            })
        })
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let (statement, binds) = self.prepare(source)?;
        self.n_statements += 1;
        let n_rows = self.ask(self.client.execute_raw(&statement, binds))?;
        usize::try_from(n_rows).map_err(|error| DieselError::DeserializationError(Box::new(error)))
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        &mut self.transactions
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        &mut self.instrumentation
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.instrumentation = Some(Box::new(instrumentation));
    }

    fn set_prepared_statement_cache_size(&mut self, _: CacheSize) {}
}

impl GetPgMetadataCache for Connection {
    fn get_metadata_cache(&mut self) -> &mut PgMetadataCache {
        &mut self.types
    }
}

impl LoadConnection for Connection {
    type Cursor<'conn, 'query> = std::iter::Map<std::vec::IntoIter<WireRow>, fn(WireRow) -> QueryResult<Row>>;
    type Row<'conn, 'query> = Row;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let (statement, binds) = self.prepare(&source)?;
        self.n_statements += 1;
        let binds: Vec<&(dyn ToSql + Sync)> = binds.iter().map(|bind| bind as _).collect();
        let rows = self.ask(self.client.query(&statement, &binds))?;
        Ok(rows.into_iter().map(|row| Ok(Row(row))))
    }
}

/// A value as diesel wrote it, in the binary form of its type.
#[derive(Debug)]
struct Bind(Option<Vec<u8>>);

impl ToSql for Bind {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// A row as it came from the server.
pub(super) struct Row(WireRow);

impl RowSealed for Row {}

impl<'a> DieselRow<'a, Pg> for Row {
    type InnerPartialRow = Self;
    type Field<'f>
        = Column<'f>
    where
        Self: 'f,
        'a: 'f;

    fn field_count(&self) -> usize {
        self.0.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<Column<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let index = self.idx(index)?;
        let column = self.0.columns().get(index)?;
        let Raw(value) = self.0.try_get(index).ok()?;
        Some(Column { name: column.name(), value, oid: NonZeroU32::new(column.type_().oid())? })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for Row {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.0.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for Row {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.0.columns().iter().position(|column| column.name() == name)
    }
}

/// One value of a [`Row`].
pub(super) struct Column<'a> {
    name: &'a str,
    value: Option<&'a [u8]>,
    oid: NonZeroU32,
}

impl<'a> Field<'a, Pg> for Column<'a> {
    fn field_name(&self) -> Option<&str> {
        Some(self.name)
    }

    fn value(&self) -> Option<PgValue<'_>> {
        self.value.map(|bytes| PgValue::new(bytes, &self.oid))
    }
}

/// The bytes of a value of any type; `None` for null.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}
