use anio::prelude::*;

#[task]
fn load() -> Result<u32> {
    Ok(1)
}

#[task(after(load))]
fn lock() -> Result<()> {
    Ok(())
}

#[task(dependencies = ["lock"])]
fn report(#[from(load)] n: u32) -> Result<u32> {
    Ok(n)
}

static FLOW: std::sync::LazyLock<Workflow> = std::sync::LazyLock::new(|| {
    anio::workflow! { name: "listed", tasks: [lock, report] }
});

fn edges(workflow: &Workflow) -> Vec<String> {
    let json = workflow.to_json();
    let mut edges = Vec::new();
    for task in json["tasks"].as_array().unwrap() {
        for dependency in task["dependencies"].as_array().unwrap() {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            edges.push(format!("{} {} {}", text(&dependency["task"]), text(&dependency["edge"]), text(&task["name"])));
        }
    }
    edges
}

fn main() {
    // `load` is not listed; it comes with those that name it by path.
    assert_eq!(edges(&FLOW), ["load order lock", "load value report", "lock order report"]);
    assert_eq!(FLOW.graph().node_count(), 3);
}
