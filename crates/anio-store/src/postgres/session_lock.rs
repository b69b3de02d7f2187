//! Whether a worker's process lives, told by the server: an accelerator that nothing rests on.
//!
//! A worker holds an advisory lock on a session of its own that is otherwise idle. When its process ends,
//! however it ends, the operating system closes the socket and the server, which sees that at once on an
//! idle session, drops the lock. (A session that is busy with a statement notices only at its end: hence
//! the second connection.) A worker says in its row whether it holds the lock; of one that does not, only
//! the lease tells.
//!
//! A released lock proves that a session ended, and usually that is the process. Not so when the server
//! restarts: all sessions end, and the workers come back one after the other. So locks do not count during
//! the first seconds of a server's life, nor for a worker that has itself just connected again. Who is
//! buried by mistake all the same loses its lease, which is safe: it can commit nothing, and says so.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::address::Address;
use super::connection::Connection;
use crate::record::WorkerId;

/// For so long after the workers lost their sessions all at once, missing locks prove nothing.
const GRACE: Duration = Duration::from_secs(5);

/// SQL: whether the server has been up for longer than [`GRACE`].
pub(super) const LOCKS_COUNT: &str = "pg_postmaster_start_time() < clock_timestamp() - interval '5 seconds'";

/// SQL: whether a session holds the lock of `worker`, as [`key`] makes its number.
pub(super) const IS_HELD: &str = "exists (
        select from pg_locks as lock
        where lock.locktype = 'advisory'
            and lock.database = (select oid from pg_database where datname = current_database())
            and (lock.classid::bigint << 32 | lock.objid::bigint)
                = ('x' || right(replace(worker.id::text, '-', ''), 16))::bit(64)::bigint
            and lock.objsubid = 1
            and lock.granted
    )";

/// The number of a worker's lock: the random half of its identity.
fn key(worker: WorkerId) -> i64 {
    worker.0.as_u64_pair().1.cast_signed()
}

/// The lock of a worker of this process.
pub(super) struct SessionLock {
    worker: WorkerId,
    /// The session that holds it, where there is one.
    session: Option<Connection>,
    /// Whether it can be held at all; not so behind a pooler.
    is_useful: bool,
    n_statements: u64,
}

impl SessionLock {
    /// Takes the lock of a worker on a session of its own. Where it cannot be had, it is simply not held:
    /// the lease alone counts then.
    pub(super) fn take(address: &Address, worker: WorkerId, writer: &mut Connection) -> Self {
        let mut lock = Self { worker, session: None, is_useful: true, n_statements: 0 };
        lock.try_take(address, writer);
        lock
    }

    /// Whose lock it is.
    pub(super) const fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Whether the session still holds it, as far as this side can see; tried again where it does not.
    pub(super) fn keep(&mut self, address: &Address, writer: &mut Connection) -> bool {
        if self.session.as_ref().is_none_or(Connection::is_closed) && self.is_useful {
            self.session = None;
            self.try_take(address, writer);
        }
        self.is_held()
    }

    pub(super) const fn is_held(&self) -> bool {
        self.session.is_some()
    }

    pub(super) const fn n_statements(&self) -> u64 {
        self.n_statements
    }

    fn try_take(&mut self, address: &Address, writer: &mut Connection) {
        let Ok(mut session) = Connection::open(address) else { return };
        let taken = ask(&mut session, "select pg_try_advisory_lock($1) as yes", key(self.worker));
        self.n_statements += session.n_statements();
        // A former session may hold it still, when only this side has noticed its end.
        let Ok(true) = taken else { return };
        // A pooler in between may give the session to others between two transactions, and then both
        // connections may well be one session: a lock that the writer does not see as a stranger's is none.
        let seen = ask(
            writer,
            "select exists (
                select from pg_locks
                where locktype = 'advisory' and objsubid = 1 and granted and pid <> pg_backend_pid()
                    and (classid::bigint << 32 | objid::bigint) = $1
            ) as yes",
            key(self.worker),
        );
        match seen {
            Ok(true) => self.session = Some(session),
            Ok(false) => self.is_useful = false,
            Err(_) => {}
        }
    }
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

fn ask(connection: &mut Connection, sql: &str, key: i64) -> QueryResult<bool> {
    diesel::sql_query(sql).bind::<BigInt, _>(key).get_result::<Answer>(connection).map(|answer| answer.yes)
}

/// Whether missing locks tell this process anything.
#[derive(Debug, Default)]
pub(super) struct Trust {
    reconnected_at: Option<Instant>,
}

impl Trust {
    /// This process has lost its connection, and so may have all the others.
    pub(super) fn reconnected(&mut self) {
        self.reconnected_at = Some(Instant::now());
    }

    pub(super) fn stands(&self) -> bool {
        self.reconnected_at.is_none_or(|at| at.elapsed() > GRACE)
    }
}
