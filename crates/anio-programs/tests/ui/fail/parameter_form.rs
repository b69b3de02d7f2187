use anio::prelude::*;

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load(month: &Input<u32>, context: Context, handle: &mut TaskHandle) -> Result<Vec<u32>> {
        handle.clone_from(&TaskHandle::for_test("load"));
        Ok(vec![**month, context.keys().count() as u32])
    }

    #[task]
    pub fn report(load: &mut Vec<u32>) -> Result<()> {
        load.clear();
        Ok(())
    }
}

fn main() {}
