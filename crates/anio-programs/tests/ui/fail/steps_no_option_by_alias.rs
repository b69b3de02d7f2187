use anio::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Page(u32);

type OfPage = std::result::Result<Page, std::num::ParseIntError>;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub async fn page(previous: Previous<Page>) -> OfPage {
        Ok(previous.0.unwrap_or(Page(1)))
    }
}

fn main() {}
