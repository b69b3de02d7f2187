use anio::prelude::*;

#[workflow(on_succes = notify, on_failure)]
mod flow {
    use super::*;

    #[task(on_success = "notify", on_failure = |name| println!("{name}"), on_fail = notify)]
    pub fn load() -> Result<()> {
        Ok(())
    }

    #[task(on_success(notify), on_success = notify)]
    pub fn report() -> Result<()> {
        Ok(())
    }
}

fn main() {
    anio::workflow! { name: "keyed", tasks: [nothing], on_failure: [notify] };
}
