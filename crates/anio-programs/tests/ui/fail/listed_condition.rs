use anio::prelude::*;

#[task(id = "load")]
async fn load() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "check")]
async fn check() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "misspelt", dependencies = ["load"], trigger_rules = task_failed("laod"))]
async fn misspelt() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "beside", dependencies = ["load"], trigger_rules = any(task_failed("load"), task_failed("check")))]
async fn beside() -> Result<(), TaskError> {
    Ok(())
}

#[task(after(load), when = skipped(check))]
async fn by_path() -> Result<(), TaskError> {
    Ok(())
}

#[task(dependencies = ["load"], trigger_rules = task_failed("notify"))]
async fn nowhere() -> Result<(), TaskError> {
    Ok(())
}

fn main() {
    anio::workflow! { name: "listed", tasks: [load, check, misspelt, beside, by_path, nowhere] };
}
