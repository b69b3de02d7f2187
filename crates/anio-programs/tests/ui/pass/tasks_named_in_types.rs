use anio::TaskType;
use anio::prelude::*;

#[task(name = "a number")]
pub fn number() -> Result<u32> {
    Ok(1)
}

#[task]
fn doubled(#[from(number)] n: u32) -> Result<u32> {
    Ok(n * 2)
}

#[task]
fn list() -> Result<Vec<u32>> {
    Ok(vec![1])
}

#[task]
fn mapped(#[from(list)] n: Each<u32>) -> Result<u32> {
    Ok(*n)
}

fn name_of<T: TaskType>() -> &'static str {
    T::NAME
}

fn main() {
    assert_eq!(name_of::<number>(), "a number");
    assert_eq!(doubled(number().unwrap()).unwrap(), 2);
    let _: <doubled as TaskType>::Output = 1_u32;
    let _: <mapped as TaskType>::Element = 1_u32;
    let _: <mapped as TaskType>::Output = vec![1_u32];
    assert_eq!(mapped(Each(1)).unwrap(), 1);
    let workflow = Workflow::builder("by hand").define(number::definition()).define(doubled::definition()).build();
    assert_eq!(workflow.unwrap().graph().edge_count(), 1);
}
