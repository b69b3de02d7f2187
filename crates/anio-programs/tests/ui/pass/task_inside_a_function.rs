use anio::prelude::*;

fn main() {
    #[task]
    fn one() -> Result<u32> {
        Ok(1)
    }

    #[task]
    fn two(#[from(one)] n: &u32) -> Result<u32> {
        Ok(n + 1)
    }

    let flow = anio::workflow! { name: "local", tasks: [one, two] };
    assert_eq!(flow.graph().edge_count(), 1);
    assert_eq!(two(&one().unwrap()).unwrap(), 2);
}
