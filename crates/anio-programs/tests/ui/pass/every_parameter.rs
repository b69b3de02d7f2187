use anio::prelude::*;

struct Settings(u32);

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub async fn all(
        Input(month): Input<u32>,
        settings: State<Settings>,
        handle: TaskHandle,
        ctx: &mut Context,
    ) -> Result<Vec<String>> {
        ctx.insert("seen", handle.attempt())?;
        Ok(vec![format!("{} {}", month, settings.0.0)])
    }

    #[task]
    pub fn shared(
        month: Input<&u32>,
        handle: &TaskHandle,
        ctx: &Context<serde_json::Value>,
        mut all: Vec<String>,
        #[from(all_again)] (first, second): (u32, u32),
    ) -> Result<String> {
        all.push(format!("{month:?} {first} {second} {}", handle.task()));
        all.extend(ctx.keys().map(str::to_owned));
        Ok(all.join(" "))
    }

    #[task]
    pub fn all_again(all: &[String]) -> Result<(u32, u32)> {
        Ok((all.len() as u32, 2))
    }
}

fn main() {
    assert!(flow::workflow().plan().task(0).definition.uses_context);
    assert!(flow::workflow().plan().task(1).definition.check_input.is_some());
    assert!(!flow::workflow().plan().task(2).definition.uses_context);
    let handle = TaskHandle::for_test("shared");
    let text = flow::shared(Input(&1), &handle, &Context::new(), vec!["x".to_owned()], (1, 2)).unwrap();
    assert_eq!(text, "x Input(1) 1 2 shared");
}
