use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task(when = all(
        value("n", equal, 1),
        value("n", ">", 1),
        value("n", less_than),
        value("n", exists, 1),
        value("n", contains, 1, 2),
        value(n, equals, 1),
        value("n", equals, limit),
        value("n", equals, [1, 2]),
        value("n", equals, -"a"),
        value("n", equals, 99_999_999_999_999_999_999),
        value("n", equals, 1e999),
        value("n"),
    ))]
    pub fn load() -> Result<u32> {
        Ok(1)
    }
}

fn main() {}
