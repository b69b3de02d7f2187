use anio::prelude::*;

async fn notify(name: &str, context: &Context) -> Result<()> {
    println!("{name} {context:?}");
    Ok(())
}

async fn alert(name: &str, error: &TaskError, context: &Context) -> Result<()> {
    println!("{name} {error} {context:?}");
    Ok(())
}

fn not_async(_: &str, _: &Context) -> Result<()> {
    Ok(())
}

async fn gives_a_number(_: &str, _: &Context) -> Result<u32> {
    Ok(1)
}

async fn owned(_: String, _: &Context) -> Result<()> {
    Ok(())
}

struct NoError;

async fn no_error(_: &str, _: &Context) -> Result<(), NoError> {
    Ok(())
}

async fn not_send(_: &str, _: &Context) -> Result<()> {
    let shared = std::rc::Rc::new(1);
    tokio::task::yield_now().await;
    drop(shared);
    Ok(())
}

#[task(on_success = alert, on_failure = notify)]
fn swapped() -> Result<()> {
    Ok(())
}

#[task(on_success = not_async)]
fn plain() -> Result<()> {
    Ok(())
}

#[task(on_success = gives_a_number)]
fn number() -> Result<()> {
    Ok(())
}

#[task(on_success = owned)]
fn name_owned() -> Result<()> {
    Ok(())
}

#[task(on_success = no_error)]
fn error() -> Result<()> {
    Ok(())
}

#[task(on_success = not_send)]
fn send() -> Result<()> {
    Ok(())
}

#[task(on_success = gone::to_be_found)]
fn nowhere() -> Result<()> {
    Ok(())
}

#[workflow(on_success = alert)]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<()> {
        Ok(())
    }
}

fn main() {
    anio::workflow! { name: "keyed", tasks: [swapped], on_failure: notify };
}
