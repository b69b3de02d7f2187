use anio::prelude::*;

#[workflow(name = "backwards", description = "the last comes first")]
mod flow {
    use super::*;

    #[task(name = "the last")]
    pub fn last(middle: u32) -> Result<u32> {
        Ok(middle)
    }

    #[task]
    pub fn middle(first: u32) -> Result<u32> {
        Ok(first)
    }

    #[task]
    pub fn first() -> Result<u32> {
        Ok(1)
    }
}

fn main() {
    let workflow = flow::workflow();
    assert_eq!(workflow.name().as_str(), "backwards");
    assert_eq!(workflow.description(), "the last comes first");
    let names: Vec<_> = workflow.plan().tasks().iter().map(|task| task.name.to_string()).collect();
    assert_eq!(names, ["the last", "middle", "first"]);
}
