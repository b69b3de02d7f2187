//! A user of the engine with a table of their own: they submit runs in the transactions in which they add rows to
//! it, some of which they roll back.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anio_core::{Output, RunId, Workflow};
use anio_store::Store;
use anio_store::postgres::connection_for_tests;
use anio_store::record::RunOptions;
use anio_store::submit_in::SubmitIn;
use diesel::connection::{LoadConnection, SimpleConnection};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use tokio::sync::oneshot;

use crate::Result;
use crate::body::RunInput;
use crate::intent::Intent;

/// The user's table. Two who make it at once may both be told that it is there already.
const TABLE: &str = "create table if not exists users_rows (number bigint primary key)";

/// How long the user's connection waits for the lock of a SQLite file.
const PATIENCE: &str = "pragma busy_timeout = 10000";

/// The user, who works on a thread of their own.
#[derive(Clone, Debug)]
pub(crate) struct Joint(Sender<Request>);

#[derive(Debug)]
struct Request {
    store: Store,
    workflow: Workflow,
    input: RunInput,
    number: u64,
    reply: oneshot::Sender<Result<Option<RunId>>>,
}

impl Joint {
    /// A user of the database at this URL.
    pub(crate) fn new(url: &str) -> Self {
        let (sender, requests) = channel();
        let url = url.to_owned();
        thread::spawn(move || serve(&url, requests));
        Self(sender)
    }

    /// Adds the row of this number and submits a run beside it. `None` where the user rolled back.
    pub(crate) async fn submit(
        &self,
        store: &Store,
        workflow: &Workflow,
        input: RunInput,
        number: u64,
    ) -> Result<Option<RunId>> {
        let (reply, answer) = oneshot::channel();
        let (store, workflow) = (store.clone(), workflow.clone());
        self.0.send(Request { store, workflow, input, number, reply })?;
        answer.await?
    }
}

fn serve(url: &str, requests: Receiver<Request>) {
    let mut user = None;
    for request in requests {
        let done = match &mut user {
            Some(user) => request.perform(user),
            None => User::connect(url).and_then(|new| request.perform(user.insert(new))),
        };
        // The engine may have stopped meanwhile.
        drop(request.reply.send(done));
    }
}

/// Rows of the user's table.
///
/// # Errors
/// Those of the database.
pub fn rows(url: &str) -> Result<Vec<u64>> {
    let url = url.to_owned();
    let rows = thread::spawn(move || User::connect(&url)?.rows());
    rows.join().map_err(|_| "who reads the user's rows panicked")?
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Why a transaction was undone.
enum Undone {
    ByTheUser,
    By(Box<dyn std::error::Error + Send + Sync>),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::By(error.into())
    }
}

/// The user's connection.
enum User<P> {
    Sqlite(SqliteConnection),
    Postgres(P),
}

impl User<()> {
    fn connect(url: &str) -> Result<User<impl LoadConnection<Backend = diesel::pg::Pg>>> {
        let mut user = match url.strip_prefix("sqlite://") {
            Some(path) => {
                let mut connection = SqliteConnection::establish(path)?;
                connection.batch_execute(PATIENCE)?;
                User::Sqlite(connection)
            }
            None => User::Postgres(connection_for_tests(url)?),
        };
        match &mut user {
            User::Sqlite(connection) => connection.batch_execute(TABLE)?,
            User::Postgres(connection) => drop(connection.batch_execute(TABLE)),
        }
        Ok(user)
    }
}

impl<P: LoadConnection<Backend = diesel::pg::Pg>> User<P> {
    fn rows(&mut self) -> Result<Vec<u64>> {
        let query = diesel::sql_query("select number from users_rows");
        let rows: Vec<Row> = match self {
            Self::Sqlite(connection) => query.load(connection)?,
            Self::Postgres(connection) => query.load(connection)?,
        };
        rows.into_iter().map(|row| Ok(u64::try_from(row.number)?)).collect()
    }
}

impl Request {
    fn perform<P: LoadConnection<Backend = diesel::pg::Pg>>(
        &self,
        user: &mut User<P>,
    ) -> Result<Option<RunId>> {
        let done = match user {
            User::Sqlite(connection) => {
                connection.immediate_transaction(|connection| self.within(connection))
            }
            User::Postgres(connection) => connection.transaction(|connection| self.within(connection)),
        };
        match done {
            Ok(run) => Ok(Some(run)),
            Err(Undone::ByTheUser) => Ok(None),
            Err(Undone::By(error)) => Err(error),
        }
    }

    fn within<C>(&self, connection: &mut C) -> Result<RunId, Undone>
    where
        C: LoadConnection,
        C::Backend: SubmitIn,
    {
        let undone = |error: &dyn std::error::Error| Undone::By(error.to_string().into());
        let Self { store, workflow, input, number, .. } = self;
        let insert = format!("insert into users_rows (number) values ({number})");
        // Now the row comes first, now the run.
        if number.is_multiple_of(2) {
            connection.batch_execute(&insert)?;
        }
        let tags = vec![Intent::Joint(*number).tag()];
        let options = RunOptions { tags, ..RunOptions::default() };
        let input = Output::new(*input).map_err(|error| undone(&error))?;
        let run = store.submit_in(connection, workflow, input, options).map_err(|error| undone(&error))?;
        if !number.is_multiple_of(2) {
            connection.batch_execute(&insert)?;
        }
        if number.is_multiple_of(5) { Err(Undone::ByTheUser) } else { Ok(run) }
    }
}
