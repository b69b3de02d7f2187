use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn years() -> Result<Vec<u32>> {
        Ok(vec![2012, 2013])
    }

    #[task]
    pub fn months(years: Each<u32>) -> Result<Vec<u32>> {
        Ok((1..=12).map(|month| *years * 100 + month).collect())
    }

    // The output of `months` is a list of lists; this maps over the outer one.
    #[task]
    pub fn count(months: Each<Vec<u32>>) -> Result<usize> {
        Ok(months.len())
    }

    #[task]
    pub fn total(count: &[usize], months: Vec<Vec<u32>>) -> Result<usize> {
        assert_eq!(count.len(), months.len());
        Ok(count.iter().sum())
    }
}

fn main() {
    assert_eq!(flow::workflow().plan().topological().len(), 4);
}
