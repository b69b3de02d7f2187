use std::rc::Rc;

use anio::prelude::*;

async fn wait() {}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub async fn load() -> Result<u32> {
        let shared = Rc::new(1);
        wait().await;
        Ok(*shared)
    }
}

fn main() {}
