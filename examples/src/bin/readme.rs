//! The program in the README.

// region: program
use anio::prelude::*;

#[workflow]
mod word_count {
    use anio::prelude::*;

    #[task(retry(attempts = 3, backoff = exponential("200ms", max = "5s")), timeout = "30s")]
    pub async fn chapters(book: Input<String>) -> Result<Vec<String>> {
        Ok(book.split("\n\n").map(str::to_owned).collect())
    }

    #[task] // a plain function computes: one task run per chapter, side by side on all cores
    pub fn count(chapters: Each<&String>) -> Result<usize> {
        Ok(chapters.split_whitespace().count())
    }

    #[task]
    pub async fn total(count: Vec<usize>) -> Result<usize> {
        Ok(count.iter().sum())
    }
}

#[tokio::main]
async fn main() -> anio::Result<()> {
    let engine = Engine::open("sqlite://books.db").await?; // takes up what a crash left behind
    let run = engine.submit(word_count::workflow(), "Call me\n\nIshmael.".to_owned()).await?; // durable now
    let outcome = run.wait().await?.ok()?;
    println!("{} words", outcome.output::<word_count::total>()?);
    engine.shutdown().await
}
// endregion

// Output:
// 3 words
