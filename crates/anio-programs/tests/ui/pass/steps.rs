use anio::TaskType;
use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    next: Option<u32>,
}

type Ended<T> = std::result::Result<Option<T>, std::num::ParseIntError>;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub async fn page(previous: Previous<&Page>, first: Input<u32>) -> Result<Option<Page>> {
        let number = match previous.0 {
            None => Some(*first),
            Some(page) => page.next,
        };
        Ok(number.map(|number| Page { next: (number < 3).then_some(number + 1) }))
    }

    // Any name but a task's will do, and any `Result` of an `Option`.
    #[task(blocking, retry(attempts = 2), name = "chunks of a file")]
    pub fn chunk(before: Previous<String>, page: &[Page], context: &mut Context) -> Ended<String> {
        let n = before.0.unwrap_or_default().len();
        let at_end = n > page.len() || context.contains_key("end");
        Ok((!at_end).then(|| "x".repeat(n + 1)))
    }

    // Each element by itself, or the whole list.
    #[task]
    pub fn links(page: Each<Page>) -> Result<u32> {
        Ok(page.next.unwrap_or_default())
    }

    #[task]
    pub fn longest(chunk: Pair<String>) -> Result<String> {
        Ok(if chunk.0.len() < chunk.1.len() { chunk.1 } else { chunk.0 })
    }

    #[task]
    pub fn report(page: Vec<Page>, links: &[u32], longest: &str) -> Result<usize> {
        Ok(page.len() + links.len() + longest.len())
    }
}

fn main() {
    let workflow = flow::workflow();
    let steps = |task| workflow.plan().task(task).definition.steps;
    assert_eq!([0, 1, 2, 3, 4].map(steps), [true, true, false, false, false]);
    let pages: <flow::page as TaskType>::Output = vec![Page { next: None }];
    let page: Option<&<flow::page as TaskType>::Element> = pages.first();
    assert_eq!(page, Some(&Page { next: None }));
    let mut context = Context::from_json("{}").unwrap();
    assert_eq!(flow::chunk(Previous(Some("x".to_owned())), &pages, &mut context).unwrap(), Some("xx".to_owned()));
}
