use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task(after(load), when = any(succeeded(laod), failed(self::load), skipped(notify)))]
    pub fn report() -> Result<()> {
        Ok(())
    }

    #[task(after(load), trigger_rules = all(task_success("laod"), task_failed("notify")))]
    pub fn archive() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = any(succeded(load), task_failed(load), success(load)))]
    pub fn words() -> Result<()> {
        Ok(())
    }

    #[task(after(load), trigger_rules = failed("load"))]
    pub fn rules() -> Result<()> {
        Ok(())
    }
}

fn main() {}
