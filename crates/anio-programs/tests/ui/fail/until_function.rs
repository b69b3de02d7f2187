use anio::prelude::*;

#[derive(Clone)]
pub struct Sum(u32);

fn of_another(sum: &mut u32, output: &u64) -> ControlFlow<()> {
    *sum += *output as u32;
    ControlFlow::Break(())
}

fn says_bool(sum: &mut u32, output: &u32) -> bool {
    *sum += output;
    *sum > 10
}

fn takes_one(output: &u32) -> ControlFlow<()> {
    if *output > 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn by_value(sum: u32, output: u32) -> ControlFlow<()> {
    if sum + output > 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn no_default(sum: &mut Sum, output: &u32) -> ControlFlow<()> {
    sum.0 += output;
    ControlFlow::Break(())
}

fn breaks_with(sum: &mut u32, output: &u32) -> ControlFlow<u32> {
    ControlFlow::Break(*sum + output)
}

async fn soon(sum: &mut u32, output: &u32) -> ControlFlow<()> {
    *sum += output;
    ControlFlow::Break(())
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1])
    }

    #[task(until = of_another)]
    pub fn another(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = says_bool)]
    pub fn bool(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = takes_one)]
    pub fn one(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = by_value)]
    pub fn value(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = no_default)]
    pub fn default(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = breaks_with)]
    pub fn with(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = soon)]
    pub fn later(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }

    #[task(until = gone::to_be_found)]
    pub fn nowhere(load: Each<u32>) -> Result<u32> {
        Ok(*load)
    }
}

fn main() {}
