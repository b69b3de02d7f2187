//! What only a SQLite file has: locks of the operating system, files of other programs, processes at once.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "what fails stops a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anio_store::backend::Backend;
use anio_store::record::{NewWorker, WorkerId};
use anio_store::sqlite::Sqlite;
use anio_store::{Durability, StoreError};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use tempfile::TempDir;
use uuid::Uuid;

/// Names the file that a child process of these tests works on.
const CHILD_FILE: &str = "ANIO_TEST_CHILD_FILE";

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(file: &Path) -> Result<Sqlite, StoreError> {
    let mut sqlite = Sqlite::open(file, Durability::Full)?;
    sqlite.migrate()?;
    Ok(sqlite)
}

fn worker(n: u128) -> NewWorker {
    NewWorker { id: WorkerId(Uuid::from_u128(n)), name: n.to_string(), lease: Duration::from_secs(3600) }
}

fn lock_of(file: &Path, n: u128) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    file.with_file_name(format!("{name}.{}.lock", worker(n).id))
}

fn execute(file: &Path, sql: &str) {
    SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(sql).unwrap();
}

/// This test binary again, for one test, on a file.
fn child(test: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(CHILD_FILE, file);
    command
}

#[test]
fn a_worker_whose_connection_is_gone_is_dead_at_once() {
    let directory = directory();
    let file = directory.path().join("a.db");
    let (mut first, mut second) = (open(&file).unwrap(), open(&file).unwrap());
    first.register(&worker(1)).unwrap();
    second.register(&worker(2)).unwrap();
    assert_eq!(second.renew(&worker(2)).unwrap().dead, []);
    assert_eq!(second.bury(&[worker(1).id]).unwrap(), 0);
    first.renew(&worker(1)).unwrap();

    drop(first);
    assert_eq!(second.renew(&worker(2)).unwrap().dead, [worker(1).id]);
    second.bury(&[worker(1).id]).unwrap();
    assert!(!lock_of(&file, 1).exists());
    assert_eq!(second.renew(&worker(2)).unwrap().dead, []);
    second.release(worker(2).id).unwrap();
    assert!(!lock_of(&file, 2).exists());
}

#[test]
fn a_missing_lock_proves_nothing() {
    let directory = directory();
    let file = directory.path().join("a.db");
    let (mut first, mut second) = (open(&file).unwrap(), open(&file).unwrap());
    first.register(&worker(1)).unwrap();
    second.register(&worker(2)).unwrap();
    fs::remove_file(lock_of(&file, 1)).unwrap();
    drop(first);
    assert_eq!(second.renew(&worker(2)).unwrap().dead, []);
    assert_eq!(second.bury(&[worker(1).id]).unwrap(), 0);
}

#[test]
fn locks_that_nobody_holds_are_swept() {
    let directory = directory();
    let file = directory.path().join("a.db");
    let mut sqlite = open(&file).unwrap();
    fs::write(lock_of(&file, 7), "").unwrap();
    let other = directory.path().join("a.db.notes.lock");
    fs::write(&other, "").unwrap();
    sqlite.register(&worker(1)).unwrap();
    assert!(!lock_of(&file, 7).exists() && lock_of(&file, 1).exists() && other.exists());
}

/// A lock on the way: not a test of its own, but the body of the next one's child.
#[test]
fn child_that_registers_and_waits_to_be_killed() {
    let Ok(file) = std::env::var(CHILD_FILE) else { return };
    let mut sqlite = open(Path::new(&file)).unwrap();
    sqlite.register(&worker(1)).unwrap();
    println!("registered");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_killed_process_is_dead_at_once() {
    use std::io::{BufRead, BufReader};
    let directory = directory();
    let file = directory.path().join("a.db");
    let mut child: Child = child("child_that_registers_and_waits_to_be_killed", &file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().contains("registered")));
    let mut sqlite = open(&file).unwrap();
    sqlite.register(&worker(2)).unwrap();
    assert_eq!(sqlite.renew(&worker(2)).unwrap().dead, []);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(sqlite.renew(&worker(2)).unwrap().dead, [worker(1).id]);
}

#[test]
fn child_that_comes_up() {
    let Ok(file) = std::env::var(CHILD_FILE) else { return };
    let mut sqlite = open(Path::new(&file)).unwrap();
    sqlite.register(&worker(Uuid::now_v7().as_u128())).unwrap();
}

#[test]
fn eight_processes_at_once_come_up_on_an_empty_file() {
    for _ in 0..3 {
        let directory = directory();
        let file = directory.path().join("a.db");
        let start = || child("child_that_comes_up", &file).stdout(Stdio::null()).spawn().unwrap();
        let children: Vec<Child> = (0..8).map(|_| start()).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    }
}

/// Opens a file that must be refused, and holds that no file was changed. A look at a database in WAL mode
/// leaves an index and an empty WAL beside it, which SQLite reuses.
fn refused(file: &Path) -> StoreError {
    let all = || {
        let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(file.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .filter(|(path, bytes)| !(path.to_string_lossy().ends_with("-wal") && bytes.is_empty()))
            .collect();
        files.sort();
        files
    };
    let before = all();
    let error = open(file).unwrap_err();
    assert!(before == all(), "{error}: a file was changed");
    error
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let directory = directory();
    for (name, bytes) in [("text.db", &b"SQLite is a fine thing, and this is a text\n"[..]), ("short", b"x")]
    {
        let file = directory.path().join(name);
        fs::write(&file, bytes).unwrap();
        assert!(matches!(refused(&file), StoreError::NotADatabase { .. }));
    }
}

#[test]
fn a_directory_and_a_missing_directory_are_told_apart() {
    let directory = directory();
    let error = open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("is a directory"), "{error}");
    let error = open(&directory.path().join("missing/a.db")).unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("does not exist"), "{error}");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let directory = directory();
    for (name, sql) in [
        ("id.db", "pragma application_id = 42; create table t (x)"),
        ("tables.db", "create table anio_runs (x)"),
        ("migrations.db", "create table anio_migrations (y)"),
        ("wal.db", "pragma journal_mode = wal; create table anio_runs (x)"),
    ] {
        let file = directory.path().join(name);
        execute(&file, sql);
        let error = refused(&file);
        assert!(matches!(error, StoreError::ForeignDatabase { .. }), "{name}: {error}");
    }
}

#[test]
fn a_newer_schema_is_left_alone() {
    let directory = directory();
    let file = directory.path().join("a.db");
    drop(open(&file).unwrap());
    execute(&file, "insert into anio_migrations values ('9999', '9999_future', 0)");
    let error = refused(&file);
    let StoreError::NewerSchema { found, known, .. } = &error else { panic!("{error}") };
    assert_eq!((found.as_str(), known.as_str()), ("9999", "0003"));
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    n: i64,
}

fn application_id(file: &Path) -> i64 {
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let query = diesel::sql_query("select application_id as n from pragma_application_id");
    query.get_result::<Number>(&mut connection).unwrap().n
}

#[test]
fn a_user_may_keep_our_tables_beside_theirs() {
    let directory = directory();
    let (theirs, ours) = (directory.path().join("theirs.db"), directory.path().join("a b%20?c#d.db"));
    execute(&theirs, "create table orders (x); create table aniox (y)");
    for file in [&theirs, &ours] {
        open(file).unwrap().register(&worker(1)).unwrap();
        open(file).unwrap().register(&worker(2)).unwrap();
    }
    assert_eq!(application_id(&theirs), 0);
    assert_eq!(application_id(&ours), 0x416e_696f);
    execute(&theirs, "insert into orders values (1)");
}

/// A process that is killed while SQLite changes the file, say from a rollback journal to a WAL, leaves a journal
/// that the next one has to roll back; one that cannot write cannot even read it.
#[test]
fn a_file_whose_last_process_was_killed_while_it_changed_it_is_opened() {
    let directory = directory();
    let (alive, dead) = (directory.path().join("alive.db"), directory.path().join("dead.db"));
    let journal = |file: &Path| file.with_extension("db-journal");
    let mut connection = SqliteConnection::establish(alive.to_str().unwrap()).unwrap();
    let spill = "pragma cache_size = 1; pragma cache_spill = 1; create table orders (x); begin immediate;
        with recursive n (x) as (select 1 union all select x + 1 from n where x < 1000)
        insert into orders select hex(randomblob(100)) from n";
    connection.batch_execute(spill).unwrap();
    for (from, to) in [(&alive, &dead), (&journal(&alive), &journal(&dead))] {
        fs::copy(from, to).unwrap();
    }
    assert!(fs::metadata(journal(&dead)).unwrap().len() > 0);
    open(&dead).unwrap().register(&worker(1)).unwrap();
    assert!(!journal(&dead).exists());
}

/// The child of the next test: it may run as another user, one whom permissions bind.
#[test]
fn child_that_is_refused() {
    let Ok(file) = std::env::var(CHILD_FILE) else { return };
    let error = refused(Path::new(&file));
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_file_or_a_directory_that_is_read_only_is_told() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (file_mode, directory_mode) in [(0o444, 0o755), (0o644, 0o555)] {
        let directory = directory();
        let file = directory.path().join("a.db");
        drop(open(&file).unwrap());
        set(&file, file_mode);
        set(directory.path(), directory_mode);
        // Permissions do not bind the superuser: the child then runs as somebody else, from a copy of this
        // program that others may read.
        let is_root = fs::metadata(directory.path()).unwrap().uid() == 0;
        let copy = tempfile::tempdir().unwrap();
        let program = copy.path().join("test");
        let mut command = if is_root {
            fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            set(&program, 0o755);
            set(copy.path(), 0o755);
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
            let mut command = Command::new(&program);
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
            command
        } else {
            Command::new(std::env::current_exe().unwrap())
        };
        command.args(["child_that_is_refused", "--exact", "--nocapture"]).env(CHILD_FILE, &file);
        let status = loop {
            match command.status() {
                // The child of another test has inherited the copy while it was open for writing, and has
                // yet to become a program of its own.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now();
                }
                status => break status.unwrap(),
            }
        };
        set(directory.path(), 0o755);
        assert!(status.success(), "{file_mode:o} {directory_mode:o}");
    }
}

#[test]
fn two_ways_to_one_file_find_the_same_locks() {
    let directory = directory();
    let file = directory.path().join("a.db");
    let mut sqlite = open(&file).unwrap();
    sqlite.register(&worker(1)).unwrap();
    let detour =
        directory.path().join(".").join("..").join(directory.path().file_name().unwrap()).join("a.db");
    let mut other = open(&detour).unwrap();
    other.register(&worker(2)).unwrap();
    drop(sqlite);
    assert_eq!(other.renew(&worker(2)).unwrap().dead, [worker(1).id]);
}

/// A file with a transaction that was cut short by the death of its program: some of its pages are there, and
/// beside the file lies the journal by which SQLite takes them back.
fn begun(directory: &Path, before: &str) -> PathBuf {
    let (original, copy) = (directory.join("original.db"), directory.join("begun.db"));
    let mut connection = SqliteConnection::establish(original.to_str().unwrap()).unwrap();
    connection
        .batch_execute(&format!(
            "pragma cache_size = 1; {before}; begin immediate; create table t (x);
             insert into t values (zeroblob(100000)), (zeroblob(100000)), (zeroblob(100000))"
        ))
        .unwrap();
    let journal = |file: &Path| PathBuf::from(format!("{}-journal", file.display()));
    std::fs::copy(&original, &copy).unwrap();
    std::fs::copy(journal(&original), journal(&copy)).unwrap();
    assert!(std::fs::metadata(&copy).unwrap().len() > 0, "nothing was written before the commit");
    copy
}

#[test]
fn a_file_whose_making_was_cut_short_by_a_crash_is_opened() {
    for before in ["", "create table u (x)"] {
        let directory = tempfile::tempdir().unwrap();
        let mut sqlite = Sqlite::open(&begun(directory.path(), before), Durability::Full).unwrap();
        sqlite.migrate().unwrap();
    }
}

#[test]
fn a_file_whose_making_was_cut_short_by_a_loss_of_power_is_opened() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    let file = begun(directory.path(), "create table u (x)");
    // The first sector did not reach the disk, though others did.
    std::fs::OpenOptions::new().write(true).open(&file).unwrap().write_all(&[0; 512]).unwrap();
    let mut sqlite = Sqlite::open(&file, Durability::Full).unwrap();
    sqlite.migrate().unwrap();
}

#[test]
fn what_a_start_that_was_killed_left_beside_the_file_is_swept_by_the_next() {
    let directory = directory();
    let file = directory.path().join("jobs.db");
    fs::write(directory.path().join("jobs.db.probe"), "").unwrap();
    drop(open(&file).unwrap());
    let left: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["jobs.db"]);
}
