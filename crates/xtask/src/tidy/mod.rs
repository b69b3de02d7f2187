//! `cargo xtask tidy`: the rules about this repository that no compiler checks. Each is a function from the
//! repository to its complaints, and a test, so that plain `cargo test` finds them too.

mod crates;
mod guarantees;
mod sources;

use std::process::ExitCode;

use crate::{Result, exit, root};

/// A complaint: what is where, and what the rule is.
type Complaints = Result<Vec<String>>;

/// What holds, and who finds where it does not.
type Rule = (&'static str, fn() -> Complaints);

const RULES: [Rule; 9] = [
    ("arrows between crates point one way", crates::arrows),
    ("diesel and tokio stay in their crates", crates::databases_and_runtimes),
    ("no library of the system is needed", crates::system_libraries),
    ("licences are permissive", crates::licences),
    ("fewer than 100 crates by default", crates::count),
    ("migrations are the same on both databases", || sources::migrations(&root())),
    ("nothing is unfinished or ignored", || sources::unfinished(&root())),
    ("crates that are not published say so", || crates::unpublished(&root())),
    ("every promise has tests, and they are there", || guarantees::held(&root())),
];

pub(crate) fn command() -> Result<ExitCode> {
    Ok(exit(run()?))
}

/// Prints every rule with its complaints; true if there are none.
pub(crate) fn run() -> Result<bool> {
    let mut good = true;
    for (rule, check) in RULES {
        let complaints = check()?;
        println!("tidy: {rule}: {}", if complaints.is_empty() { "ok" } else { "NO" });
        for complaint in &complaints {
            println!("tidy:   {complaint}");
        }
        good &= complaints.is_empty();
    }
    for warning in sources::long_files(&root())? {
        println!("tidy: warning: {warning}");
    }
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test per rule over this very repository.
    macro_rules! the_repository_keeps {
        ($($name:ident: $check:expr;)*) => {$(
            #[test]
            fn $name() {
                let complaints: Vec<String> = ($check).unwrap();
                assert!(complaints.is_empty(), "{}", complaints.join("\n"));
            }
        )*};
    }

    the_repository_keeps! {
        arrows_between_crates_point_one_way: crates::arrows();
        diesel_and_tokio_stay_in_their_crates: crates::databases_and_runtimes();
        no_library_of_the_system_is_needed: crates::system_libraries();
        licences_are_permissive: crates::licences();
        the_default_features_need_fewer_than_100_crates: crates::count();
        migrations_are_the_same_on_both_databases: sources::migrations(&root());
        nothing_is_unfinished_or_ignored: sources::unfinished(&root());
        crates_that_are_not_published_say_so: crates::unpublished(&root());
        every_promise_has_tests_and_they_are_there: guarantees::held(&root());
    }
}
