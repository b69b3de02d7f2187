use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn generic<T: Default>() -> Result<()> {
        let _ = T::default();
        Ok(())
    }

    #[task]
    pub unsafe fn dangerous() -> Result<()> {
        Ok(())
    }

    #[task(blocking)]
    pub async fn both() -> Result<()> {
        Ok(())
    }

    #[task]
    #[cfg(unix)]
    pub fn sometimes() -> Result<()> {
        Ok(())
    }
}

fn main() {}
