use anio::error::{FailureKind, TaskFailure};
use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load() -> Result<Vec<u32>> {
        Ok(vec![1, 2])
    }

    #[task(blocking)]
    pub fn double(load: Each<u32>) -> Result<u32> {
        Ok(*load * 2)
    }

    // A copy, of a mapped task the list.
    #[task]
    pub fn sum(double: Settled<Vec<u32>>) -> Result<u32> {
        Ok(double.ok().unwrap_or_default().into_iter().sum())
    }

    // Shared, as a slice, across an await point, beside one that must succeed.
    #[task]
    pub async fn report(#[from(double)] all: Settled<&[u32]>, load: &Vec<u32>, mut sum: anio::Settled<u32>) -> Result<String> {
        std::future::ready(()).await;
        if let Settled::Succeeded(sum) = &mut sum {
            *sum += 1;
        }
        Ok(format!("{all:?} {load:?} {}", sum.is_succeeded()))
    }

    // One task run per element, whatever became of another.
    #[task]
    pub fn each(load: Each<&u32>, sum: Settled<&u32>) -> Result<u32> {
        Ok(**load + sum.ok().copied().unwrap_or_default())
    }
}

fn main() {
    let drawing = flow::workflow().to_mermaid();
    assert!(drawing.contains("double -- settled --> sum"), "{drawing}");
    assert!(drawing.contains("double -- settled --> report"), "{drawing}");
    let failure = TaskFailure::new(FailureKind::Error, "no answer");
    assert_eq!(flow::sum(Settled::Failed(failure, 3)).unwrap(), 0);
    assert_eq!(flow::sum(Settled::Succeeded(vec![2, 4])).unwrap(), 6);
    assert_eq!(flow::each(Each(&1), Settled::Skipped("it was not needed".to_owned())).unwrap(), 1);
}
