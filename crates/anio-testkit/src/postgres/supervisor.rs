//! The process that outlives a killed test, and cleans up after it.
//!
//! It is a shell that reads orders from a pipe: the directory, the server and their end all belong to it. When
//! the pipe ends, because the test process closed it or died, so do they. It is started before anything that
//! would have to be removed, in a process group of its own (Ctrl-C goes to the tests, not to it), and as an
//! unprivileged user where the tests run as root, since Postgres refuses root.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Binaries, Error};

pub(super) const DATABASE_USER: &str = "anio";

/// Orders: `initdb`, `start PORT`, `stop`; the answer to each, and to the start, is a line with an exit status.
/// SIGPIPE is ignored, since the one who asked may be gone when the answer is ready.
const SCRIPT: &str = r#"
directory=$1 bin=$2
trap '' PIPE
mkdir -m 700 "$directory" || exit 1
stop() {
    test ! -f "$directory/data/postmaster.pid" || "$bin/pg_ctl" -D "$directory/data" -m immediate -w stop
}
trap 'stop >/dev/null 2>&1; rm -rf "$directory"' EXIT
trap exit HUP INT TERM
echo 0
while read -r order port; do
    case $order in
        initdb) "$bin/initdb" -D "$directory/data" -U "$3" -A trust -E UTF8 --locale=C --no-sync ;;
        start) "$bin/pg_ctl" -D "$directory/data" -l "$directory/log" -w -t 60 start -o "-c port=$port \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200" ;;
        stop) stop ;;
    esac </dev/null >"$directory/output" 2>&1
    echo $?
done
"#;

/// How much of what a program printed goes into an error.
const LINES_SHOWN_MAX: usize = 12;

#[derive(Debug)]
pub(super) struct Supervisor {
    shell: Child,
    /// None only while dropping. Closed on exec, so that no child of a test holds it open.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Supervisor {
    pub(super) fn spawn(binaries: &Binaries) -> Result<Self, Error> {
        let user = if is_root()? { Some(unprivileged_user()?) } else { None };
        let directory = unused_directory(user.is_some());
        let copied = user.filter(|_| !readable_by_all(binaries.directory()));
        let bin = match copied {
            Some(_) => directory.join("install").join(binaries.tree().1),
            None => binaries.directory().to_owned(),
        };

        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "anio-testkit"]).arg(&directory).arg(bin).arg(DATABASE_USER);
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
        let mut shell = command.spawn().map_err(Error::io("start a shell"))?;
        let answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let orders = shell.stdin.take();
        let mut supervisor = Self { shell, orders, answers, directory };
        supervisor.answer("start")?;
        if let Some(user) = copied {
            copy(binaries.tree().0, &supervisor.directory.join("install"), user)
                .map_err(Error::io("copy Postgres to where an unprivileged user can run it"))?;
        }
        Ok(supervisor)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn initdb(&mut self) -> Result<(), Error> {
        self.order("initdb", "initdb")
    }

    pub(super) fn start(&mut self, port: u16) -> Result<(), Error> {
        self.order(&format!("start {port}"), "start")
    }

    pub(super) fn stop_immediate(&mut self) -> Result<(), Error> {
        self.order("stop", "stop")
    }

    fn order(&mut self, line: &str, step: &'static str) -> Result<(), Error> {
        let orders = self.orders.as_mut().expect("present until dropped");
        writeln!(orders, "{line}").map_err(Error::io("speak to the supervisor of Postgres"))?;
        self.answer(step)
    }

    fn answer(&mut self, step: &'static str) -> Result<(), Error> {
        let mut status = String::new();
        self.answers.read_line(&mut status).map_err(Error::io("listen to the supervisor of Postgres"))?;
        if status == "0\n" { Ok(()) } else { Err(Error::Program { step, output: self.last_words() }) }
    }

    /// The end of what the program printed, else of the server's log.
    fn last_words(&self) -> String {
        let text: String = ["output", "log"]
            .iter()
            .filter_map(|name| fs::read_to_string(self.directory.join(name)).ok())
            .collect();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() {
            return format!("cannot use the directory {}", self.directory.display());
        }
        lines[lines.len().saturating_sub(LINES_SHOWN_MAX)..].join("\n")
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.shell.wait();
    }
}

#[derive(Debug, Clone, Copy)]
struct User {
    uid: u32,
    gid: u32,
}

/// Asks `id`, since std does not tell.
fn is_root() -> Result<bool, Error> {
    let output = Command::new("id").arg("-u").output().map_err(Error::io("run `id -u`"))?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// The account that a package made for Postgres, else the one that owns nothing.
fn unprivileged_user() -> Result<User, Error> {
    let accounts = fs::read_to_string("/etc/passwd").map_err(Error::io("read /etc/passwd"))?;
    ["postgres", "nobody"].iter().find_map(|name| account(&accounts, name)).ok_or(Error::NoUser)
}

/// `name:x:uid:gid:…`
fn account(accounts: &str, name: &str) -> Option<User> {
    let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    Some(User { uid: fields.next()?.ok()?, gid: fields.next()?.ok()? })
}

fn unused_directory(for_another_user: bool) -> PathBuf {
    static N_STARTED: AtomicU32 = AtomicU32::new(0);
    let n = N_STARTED.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let own = env::temp_dir();
    let parent = if for_another_user && !readable_by_all(&own) { PathBuf::from("/tmp") } else { own };
    parent.join(format!("anio-postgres-{}-{nanos:x}-{n}", process::id()))
}

fn readable_by_all(path: &Path) -> bool {
    const SEARCH_BY_OTHERS: u32 = 0o001;
    path.ancestors()
        .all(|part| fs::metadata(part).is_ok_and(|file| file.permissions().mode() & SEARCH_BY_OTHERS != 0))
}

/// Copies a tree for `user`, who must own it to be able to remove it; C headers stay behind.
fn copy(from: &Path, to: &Path, user: User) -> io::Result<()> {
    let give = |path: &Path| chown(path, Some(user.uid), Some(user.gid));
    fs::create_dir(to)?;
    give(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            give(&target)?;
        } else if kind.is_dir() && entry.file_name() != "include" {
            copy(&source, &target, user)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0::/root:/bin/sh\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let user = account(accounts, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (101, 104));
        assert!(account(accounts, "nobody").is_none());
    }
}
