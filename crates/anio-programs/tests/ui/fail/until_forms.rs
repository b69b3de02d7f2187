use anio::prelude::*;

fn is_enough(sum: &mut u32, output: &u32) -> ControlFlow<()> {
    *sum += output;
    if *sum > 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task(until = is_enough)]
    pub fn whole(load: Vec<u32>) -> Result<u32> {
        Ok(load.iter().sum())
    }

    #[task(until = is_enough)]
    pub fn pairs(load: Pair<u32>) -> Result<u32> {
        Ok(load.0 + load.1)
    }

    #[task(until = is_enough)]
    pub fn steps(previous: Previous<u32>) -> Result<Option<u32>> {
        Ok(previous.0.map(|n| n + 1))
    }

    #[task(until = is_enough, until = is_enough)]
    pub fn doubled(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until)]
    pub fn nothing(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until(is_enough))]
    pub fn in_parentheses(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = |_, _| ControlFlow::Break(()))]
    pub fn closure(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = 3)]
    pub fn number(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(untill = is_enough)]
    pub fn misspelt(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }
}

fn main() {}
