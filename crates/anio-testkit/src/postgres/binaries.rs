//! Finds `initdb`, `pg_ctl` and `postgres`.

use std::{
    cmp::Reverse,
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{BIN_VARIABLE, Error};

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Where packages put the programs when they are not on `PATH`; a `*` stands for a version.
const USUAL: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/opt/local/lib/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// The programs of one installed Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    /// The directory that must be taken along whole for the programs to run elsewhere.
    tree: PathBuf,
}

impl Binaries {
    /// Looks in `ANIO_POSTGRES_BIN` (and then nowhere else), on `PATH`, in the usual directories of packages
    /// (the newest version first), and in [`download_directory`].
    ///
    /// # Errors
    /// [`Error::NotBinaries`] for a wrong `ANIO_POSTGRES_BIN`, [`Error::Missing`] if there are none.
    pub fn find() -> Result<Self, Error> {
        if let Some(directory) = env::var_os(BIN_VARIABLE) {
            let directory = PathBuf::from(directory);
            return Self::at(&directory).ok_or(Error::NotBinaries { directory });
        }
        let path = env::var_os("PATH").unwrap_or_default();
        Self::search(&path, &USUAL.map(PathBuf::from), &download_directory())
    }

    fn search(path: &OsString, usual: &[PathBuf], download: &Path) -> Result<Self, Error> {
        let downloaded = || {
            let found =
                newest_first(&download.join("*/pginstall*/bin")).into_iter().find_map(|d| Self::at(&d))?;
            Some(Self { tree: download.to_owned(), ..found })
        };
        env::split_paths(path)
            .find_map(|directory| Self::at(&directory))
            .or_else(|| usual.iter().flat_map(|pattern| newest_first(pattern)).find_map(|d| Self::at(&d)))
            .or_else(downloaded)
            .ok_or(Error::Missing)
    }

    /// The programs behind `directory/initdb`. Links are followed, because `initdb` looks for its siblings and
    /// for `../share` beside its real self, and `/usr/local/bin/initdb` is often a lone link.
    fn at(directory: &Path) -> Option<Self> {
        let initdb = fs::canonicalize(directory.join("initdb")).ok()?;
        let directory = initdb.parent()?;
        let complete = PROGRAMS.iter().all(|program| directory.join(program).is_file());
        complete.then(|| Self {
            directory: directory.to_owned(),
            tree: directory.parent().unwrap_or(directory).to_owned(),
        })
    }

    /// The directory that holds the programs, without links.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directory to copy, and where the programs are in it, for someone who cannot read them here.
    pub(super) fn tree(&self) -> (&Path, &Path) {
        let inside = self.directory.strip_prefix(&self.tree).unwrap_or(Path::new("bin"));
        (&self.tree, inside)
    }
}

/// Where `cargo xtask test` unpacks a Postgres that it had to download: `postgres` in the target directory.
pub fn download_directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let workspace = fs::canonicalize(&workspace).unwrap_or(workspace);
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    workspace.join(target).join("postgres")
}

/// The directories that match a pattern with `*` in its components, the highest version first.
fn newest_first(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let Some((prefix, suffix)) = name.split_once('*') else {
            for directory in &mut found {
                directory.push(component);
            }
            continue;
        };
        found = found.iter().flat_map(|directory| entries(directory, prefix, suffix)).collect();
    }
    found
}

fn entries(directory: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix) && name.ends_with(suffix))
        .collect();
    names.sort_by_key(|name| Reverse(version(name)));
    names.iter().map(|name| directory.join(name)).collect()
}

/// The first number in a name: 17 in `postgresql@17`, 9 in `9.6`, 0 if there is none.
fn version(name: &str) -> u32 {
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory that is removed again.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let directory = env::temp_dir().join(format!("anio-binaries-{name}-{}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            Self(fs::canonicalize(directory).unwrap())
        }

        /// An installation with empty files for programs.
        fn install(&self, bin: &str) -> PathBuf {
            let directory = self.0.join(bin);
            fs::create_dir_all(&directory).unwrap();
            for program in PROGRAMS {
                fs::write(directory.join(program), "").unwrap();
            }
            directory
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn path_comes_first_and_its_links_are_followed() {
        let scratch = Scratch::new("path");
        let real = scratch.install("opt/pg/bin");
        let usual = scratch.install("lib/15/bin");
        let links = scratch.0.join("links");
        fs::create_dir_all(&links).unwrap();
        symlink(real.join("initdb"), links.join("initdb")).unwrap();

        let found = Binaries::search(&links.into(), &[usual], Path::new("none")).unwrap();
        assert_eq!(found.directory(), real);
        assert_eq!(found.tree(), (&*scratch.0.join("opt/pg"), Path::new("bin")));
    }

    #[test]
    fn of_the_usual_directories_the_newest_version_wins() {
        let scratch = Scratch::new("usual");
        for version in ["9.6", "16", "15"] {
            scratch.install(&format!("lib/{version}/bin"));
        }
        fs::create_dir_all(scratch.0.join("lib/17/bin")).unwrap(); // a client without a server
        let found = Binaries::search(&"".into(), &[scratch.0.join("lib/*/bin")], Path::new("none")).unwrap();
        assert_eq!(found.directory(), scratch.0.join("lib/16/bin"));
    }

    #[test]
    fn a_downloaded_one_comes_last_and_moves_as_a_whole() {
        let scratch = Scratch::new("download");
        scratch.install("package/pginstall/bin");
        scratch.install("package/pginstall18/bin");
        let found = Binaries::search(&"".into(), &[], &scratch.0).unwrap();
        assert_eq!(found.tree(), (&*scratch.0, Path::new("package/pginstall18/bin")));
    }

    #[test]
    fn none_at_all_is_one_line_that_says_what_to_do() {
        let message = Binaries::search(&"".into(), &[], Path::new("none")).unwrap_err().to_string();
        assert_eq!(message.lines().count(), 1);
        assert!(message.contains("install") && message.contains("ANIO_TEST_POSTGRES=off"), "{message}");
    }
}
