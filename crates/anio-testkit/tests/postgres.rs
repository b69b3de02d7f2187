//! The server really starts, really stops, and nothing stays behind.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anio_testkit::postgres::{self, Error};

#[test]
fn every_database_is_fresh_and_goes_away() {
    let Some(first) = postgres::test_database() else { return };
    let Some(second) = postgres::test_database() else { return };
    first.query("create table notes (body text); insert into notes values ('a'), (null)").unwrap();
    assert_eq!(first.query("select body from notes order by body").unwrap(), [[Some("a".into())], [None]]);
    let error = second.query("select body from notes").unwrap_err();
    assert!(matches!(&error, Error::Refused { code, .. } if code == "42P01"), "{error}");

    let exists = format!("select count(*) from pg_database where datname = '{}'", first.name());
    assert_eq!(second.query(&exists).unwrap(), [[Some("1".into())]]);
    drop(first);
    assert_eq!(second.query(&exists).unwrap(), [[Some("0".into())]]);
}

#[test]
fn the_tests_of_a_process_share_one_server() {
    let (Some(one), Some(other)) = (postgres::test_database(), postgres::test_database()) else { return };
    assert_eq!(one.url().replace(one.name(), ""), other.url().replace(other.name(), ""));
    assert!(one.url().starts_with("postgres"));
}

#[test]
fn what_was_committed_survives_an_immediate_stop() {
    let Some(server) = postgres::test_server() else { return };
    let database = server.database().unwrap();
    let durability = "select string_agg(setting, ' ') from pg_settings \
                      where name in ('fsync', 'synchronous_commit', 'full_page_writes')";
    assert_eq!(database.query(durability).unwrap(), [[Some("on on on".into())]]);
    database.query("create table notes (body text); insert into notes values ('kept')").unwrap();

    server.stop_immediate().unwrap();
    server.stop_immediate().unwrap();
    assert!(matches!(database.query("select 1"), Err(Error::Io { .. })));
    server.restart().unwrap();
    server.restart().unwrap();
    assert_eq!(database.query("select body from notes").unwrap(), [[Some("kept".into())]]);
}

#[test]
fn a_dropped_server_leaves_neither_process_nor_directory() {
    let Some(server) = postgres::test_server() else { return };
    let (url, directory) = (server.url(), server.directory().unwrap());
    assert!(directory.join("data/PG_VERSION").exists() && is_listening(&url));
    drop(server);
    assert!(!directory.exists() && !is_listening(&url));
}

/// The test plays both roles: run again with `ROLE` set, it is the owner that gets killed.
#[test]
fn a_killed_owner_leaves_neither_process_nor_directory() {
    const ROLE: &str = "ANIO_TESTKIT_OWNER";
    let Some(server) = postgres::test_server() else { return };
    if env::var_os(ROLE).is_some() {
        eprintln!("owner {} {}", server.url(), server.directory().unwrap().display());
        loop {
            thread::park();
        }
    }
    drop(server);

    let mut owner = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_owner_leaves_neither_process_nor_directory", "--nocapture"])
        .env(ROLE, "")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stderr.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("owner ")).expect("the owner says where its server is");
    let mut words = line.split(' ').skip(1);
    let (url, directory) = (words.next().unwrap(), PathBuf::from(words.next().unwrap()));
    assert!(directory.exists() && is_listening(url));

    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until_gone(&directory);
    assert!(!is_listening(url));
}

/// Polls, because whoever could signal the end is neither our child nor alive.
fn wait_until_gone(directory: &Path) {
    let start = Instant::now();
    while directory.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "{} stays", directory.display());
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_listening(url: &str) -> bool {
    let place = url.split(['@', '/']).find(|part| part.starts_with("127.0.0.1:")).expect("a local server");
    TcpStream::connect(place).is_ok()
}
