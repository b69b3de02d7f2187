use anio::prelude::*;

mod other {
    use anio::prelude::*;

    #[task]
    pub fn mirror() -> Result<u32> {
        Ok(1)
    }
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn check() -> Result<bool> {
        Ok(true)
    }

    #[task(after(load), when = all(succeeded(load), succeeded(check)))]
    pub fn beside() -> Result<()> {
        Ok(())
    }

    #[task(dependencies = ["load"], trigger_rules = task_failed("check"))]
    pub fn keyed() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = succeeded(itself))]
    pub fn itself() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = failed(behind))]
    pub fn ahead() -> Result<()> {
        Ok(())
    }

    #[task(after(ahead))]
    pub fn behind() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = failed(super::other::mirror))]
    pub fn elsewhere() -> Result<()> {
        Ok(())
    }
}

fn main() {}
