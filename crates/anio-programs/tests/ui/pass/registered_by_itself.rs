use anio::prelude::*;

#[task]
fn free() -> Result<()> {
    Ok(())
}

#[workflow]
mod module {
    use super::*;

    #[task]
    pub fn inner() -> Result<()> {
        Ok(())
    }
}

// Never called, and known all the same.
#[allow(dead_code)]
fn never() -> Workflow {
    anio::workflow! { name: "listed", tasks: [free] }
}

fn main() {
    let mut names: Vec<_> = anio::__private::inventory::iter::<anio::__private::Registered>()
        .map(|entry| (entry.name, (entry.workflow)().graph().node_count()))
        .collect();
    names.sort_unstable();
    assert_eq!(names, [("listed", 1), ("module", 1)]);
}
