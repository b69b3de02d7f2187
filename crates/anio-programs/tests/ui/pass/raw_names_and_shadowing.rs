use anio::prelude::*;

// Names of the user's that a careless macro would trip over.
#[allow(non_upper_case_globals)]
const call: u32 = 1;
#[allow(non_upper_case_globals)]
const context: u32 = 2;
#[allow(dead_code)]
enum Lookalike {
    Ok,
    Err,
}
#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
struct Vec;

#[workflow]
mod flow {
    use super::*;
    #[allow(unused_imports)]
    use super::Lookalike::{Err, Ok};

    #[task]
    pub fn r#type() -> Result<u32> {
        Result::Ok(call + context)
    }

    #[task]
    pub fn r#match(r#type: u32) -> Result<u32> {
        Result::Ok(r#type)
    }
}

fn main() {
    let workflow = flow::workflow();
    assert_eq!(workflow.plan().task(0).name.as_str(), "type");
    assert_eq!(workflow.plan().task(1).name.as_str(), "match");
    assert_eq!(flow::r#match(flow::r#type().unwrap()).unwrap(), 3);
}
