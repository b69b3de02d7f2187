use std::error::Error;

use anio::prelude::*;
use anio::TaskError as MyError;

type Fallible<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
type Answer = std::result::Result<u32, String>;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn own() -> Result<u32, MyError> {
        Err(MyError::fatal("no"))
    }

    #[task]
    pub fn io() -> std::io::Result<u32> {
        Err(std::io::Error::other("disk"))
    }

    #[task]
    pub async fn boxed() -> Fallible<u32> {
        Ok("1".parse()?)
    }

    #[task]
    pub fn text() -> Answer {
        Err("no".to_owned())
    }

    #[task]
    pub fn static_text() -> std::result::Result<u32, &'static str> {
        Err("no")
    }

    #[task]
    pub fn never() -> Result<u32, std::convert::Infallible> {
        Ok(1)
    }
}

fn main() {
    assert_eq!(flow::workflow().graph().node_count(), 6);
}
