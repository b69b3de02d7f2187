//! Faults that Postgres itself has: errors on Anio's tables, ended sessions, locks, deadlocks, a role that changes.

use std::time::Duration;

use anio_store::{Store, StoreOptions};
use anio_testkit::postgres::Database;

use crate::Result;
use crate::dice::Dice;

/// What the trigger says: serialization, deadlock, lock, cancelled, resources, disk full, input/output, shutdown,
/// connection, unknown completion, read-only.
const CODES: [&str; 15] = [
    "40001", "40P01", "40000", "55P03", "57014", "53000", "53100", "53200", "53300", "53400", "58030",
    "57P01", "08006", "40003", "25006",
];

// Which error every how many statements on Anio's tables; a sequence counts, which no rollback turns back.
const TRIGGER: &str = "
create sequence storm_statements;
create table storm_faults (every bigint not null, code text not null);
insert into storm_faults values (0, '40001');
create function storm_fault() returns trigger language plpgsql as $$
declare
    fault record;
begin
    select * into fault from storm_faults;
    if fault.every > 0 and nextval('storm_statements') % fault.every = 0 then
        raise exception using errcode = fault.code, message = 'a fault of the storm';
    end if;
    return null;
end $$;
create trigger storm_fault before insert or update on anio_attempts execute function storm_fault();
create trigger storm_fault before insert or update on anio_runs execute function storm_fault();
create trigger storm_fault before insert or update on anio_workers execute function storm_fault();";

// A deadlock is seen as soon as it is there.
const SETTINGS: &str = "alter database NAME set deadlock_timeout = '20ms'";

/// Locks rows of runs first and then those of workers: the other way round than Anio, so that both may wait for
/// each other.
const DEADLOCK: &str = "
begin;
select count(*) from (select from anio_runs where status = 'running' limit 20 for update) as run;
select pg_sleep(0.03);
update anio_workers set name = name where lost_at is null;
select pg_sleep(0.03);
rollback;";

/// Makes the tables and the means to disturb them.
///
/// # Errors
/// Those of the store and of the database.
pub async fn prepare(database: &Database) -> Result<()> {
    Store::open(&database.url(), StoreOptions::default()).await?.close().await;
    database.query(TRIGGER)?;
    database.query(&SETTINGS.replace("NAME", database.name()))?;
    Ok(())
}

/// Something that a database does to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Statements on Anio's tables fail for a while.
    Errors,
    /// Sessions end: one, or all.
    Terminate,
    /// Nothing can be written for a while.
    ReadOnly,
    /// Another session locks rows of workers or runs for a while.
    Lock,
    /// Another session wants the locks of Anio in the wrong order.
    Deadlock,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Errors, Self::Terminate, Self::ReadOnly, Self::Lock, Self::Deadlock];

    /// Lets it happen, and undoes what can be undone. What fails because the server is down just then is no more
    /// than another fault.
    pub fn strike(self, database: &Database, dice: &mut Dice) {
        let ask = |sql: &str| drop(database.query(sql));
        let for_a_while = || Duration::from_millis(700);
        match self {
            Self::Errors => {
                let (every, code) = (1 + dice.below(12), CODES[dice.position(CODES.len())]);
                ask(&format!("update storm_faults set every = {every}, code = '{code}'"));
                std::thread::sleep(dice.duration(for_a_while()));
                calm(database);
            }
            Self::Terminate => {
                let how_many = if dice.percent(30) { "1000" } else { "1" };
                ask(&format!("{TERMINATE} order by random() limit {how_many}"));
            }
            Self::ReadOnly => {
                set_read_only(database, "on");
                ask(TERMINATE);
                std::thread::sleep(dice.duration(for_a_while()));
                calm(database);
            }
            Self::Lock => {
                let rows = ["anio_workers", "anio_runs"][dice.position(2)];
                let seconds = dice.duration(for_a_while()).as_secs_f64();
                ask(&format!("select from {rows} limit 50 for update; select pg_sleep({seconds})"));
            }
            Self::Deadlock => ask(DEADLOCK),
        }
    }
}

const TERMINATE: &str = "
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and application_name = 'anio'";

/// Undoes what lasts.
pub fn calm(database: &Database) {
    set_read_only(database, "off");
    drop(database.query("begin read write; update storm_faults set every = 0; commit"));
}

/// Whether nothing is left of what lasts.
///
/// # Errors
/// Those of the database.
pub fn is_calm(database: &Database) -> Result<bool> {
    let read_only = database.query("show default_transaction_read_only")?;
    let errors = database.query("select from storm_faults where every > 0")?;
    Ok(read_only == [[Some("off".to_owned())]] && errors.is_empty())
}

fn set_read_only(database: &Database, value: &str) {
    let set = format!("alter database {} set default_transaction_read_only = {value}", database.name());
    drop(database.query(&format!("begin read write; {set}; commit")));
}
