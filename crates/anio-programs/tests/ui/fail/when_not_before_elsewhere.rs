use anio::prelude::*;

mod other {
    use anio::prelude::*;

    #[task]
    pub fn mirror() -> Result<u32> {
        Ok(1)
    }

    #[task(after(mirror), when = failed(unused))]
    pub fn copy() -> Result<u32> {
        Ok(1)
    }

    #[task]
    pub fn unused() -> Result<u32> {
        Ok(1)
    }
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn check() -> Result<bool> {
        Ok(true)
    }

    #[task(after(super::other::copy), when = any(
        failed(super::other::mirror),
        failed(super::other::unused),
        failed(check),
    ))]
    pub fn report() -> Result<()> {
        Ok(())
    }

    #[task(after(super::other::copy), trigger_rules = any(task_failed("mirrr"), task_failed("check")))]
    pub fn keyed() -> Result<()> {
        Ok(())
    }
}

fn main() {}
