//! Programs that must compile, and programs that must not, with what the compiler says of them: in `tests/ui`.
//!
//! They stand here, and not with the macros or with `anio`, so that they are built against few crates.
