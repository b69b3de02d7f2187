use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(after(load), when = succeeded(load), trigger_rules = task_failed("load"))]
    pub fn both() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when(succeeded(load)))]
    pub fn list() -> Result<()> {
        Ok(())
    }

    #[task(after(load), trigger_rules)]
    pub fn nothing() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = any(succeeded, any(), always(load), succeeded("load"), failed(load, load), skipped()))]
    pub fn inside() -> Result<()> {
        Ok(())
    }

    #[task(after(load), trigger_rules = all(task_success(load), done("load"), context_value))]
    pub fn rules() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = succeeded(load) && always)]
    pub fn operators() -> Result<()> {
        Ok(())
    }
}

fn main() {}
