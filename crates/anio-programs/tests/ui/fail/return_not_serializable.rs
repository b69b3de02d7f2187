use anio::prelude::*;

#[derive(Clone)]
struct Report(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn report() -> Result<Report> {
        Ok(Report(1))
    }

    #[task]
    pub fn print(report: &Report) -> Result<u32> {
        Ok(report.0)
    }

    #[task]
    pub fn keep(report: Report) -> Result<u32> {
        Ok(report.0)
    }
}

fn main() {}
