use anio::prelude::*;

fn is_even(number: &Each<u32>) -> bool {
    **number % 2 == 0
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task(when = is_even)]
    pub fn double(load: Each<u32>) -> Result<u32> {
        Ok(*load * 2)
    }

    #[task(after(load), when = alwais)]
    pub fn misspelt() -> Result<()> {
        Ok(())
    }

    #[task(after(load), when = all(is_large, succeeded(load)))]
    pub fn inside() -> Result<()> {
        Ok(())
    }

    #[task(after(load), trigger_rules = is_large)]
    pub fn rules() -> Result<()> {
        Ok(())
    }
}

fn main() {}
