//! Programs that must not compile, with their messages, and programs that must.

#[test]
fn programs_that_must_not_compile_say_why() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

#[test]
fn programs_that_must_compile_run() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}
