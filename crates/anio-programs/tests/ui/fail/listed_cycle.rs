use anio::prelude::*;

#[task(id = "a", dependencies = ["c"])]
async fn a() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "b", dependencies = ["a"])]
async fn b() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "c", after(b))]
async fn c() -> Result<(), TaskError> {
    Ok(())
}

fn main() {
    anio::workflow! { name: "circle", tasks: [a, b, c] };
}
