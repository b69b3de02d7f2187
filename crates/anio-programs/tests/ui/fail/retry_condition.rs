use anio::prelude::*;

fn takes_nothing() -> bool {
    true
}

fn counts(_: &TaskError) -> u32 {
    1
}

#[task(retry_attempts = 3, retry_condition = "transiant")]
fn misspelt() -> Result<()> {
    Ok(())
}

#[task(retry_attempts = 3, retry_condition = "timeout, connection")]
fn by_message() -> Result<()> {
    Ok(())
}

#[task(retry_attempts = 3, retry_condition = 3)]
fn number() -> Result<()> {
    Ok(())
}

#[task(retry_attempts = 3, retry_condition)]
fn nothing() -> Result<()> {
    Ok(())
}

#[task(retry_condition = "never")]
fn without_attempts() -> Result<()> {
    Ok(())
}

#[task(retry_attempts = 3, retry_condition = takes_nothing)]
fn no_parameter() -> Result<()> {
    Ok(())
}

#[task(retry(attempts = 3), retry_condition = counts)]
fn no_bool() -> Result<()> {
    Ok(())
}

fn main() {}
