use anio::prelude::*;

pub struct Threshold(u64);

/// Whether there is enough to work in parts.
fn is_large(rows: &[u64], input: &Input<u64>, threshold: &State<Threshold>) -> bool {
    rows.len() as u64 > **input + threshold.0.0
}

mod rules {
    use anio::prelude::*;

    pub fn is_wanted(context: &Context, handle: &TaskHandle, copy: &TaskHandle) -> Result<bool, String> {
        assert_eq!(handle.task(), copy.task());
        match context.value("wanted") {
            Some(wanted) => wanted.as_bool().ok_or_else(|| format!("{wanted} is neither")),
            None => Ok(false),
        }
    }
}

fn arrived(load: &Settled<&Vec<u64>>, name: &str) -> Result<bool, TaskError> {
    Ok(load.is_succeeded() && name == "ada")
}

#[workflow]
mod flow {
    use super::*;

    #[task]
    pub fn load(input: Input<u64>) -> Result<Vec<u64>> {
        Ok((0..*input).collect())
    }

    #[task]
    pub fn name() -> Result<String> {
        Ok("ada".to_owned())
    }

    #[task(when = is_large)]
    pub fn in_parts(load: Vec<u64>, input: Input<u64>, threshold: State<Threshold>) -> Result<usize> {
        Ok(load.len() + *input as usize + threshold.0.0 as usize)
    }

    #[task(when = super::rules::is_wanted, blocking)]
    pub fn archive(context: &mut Context, handle: TaskHandle, copy: &TaskHandle) -> Result<()> {
        context.insert("archived", handle.task() == copy.task())?;
        Ok(())
    }

    #[task(when = arrived)]
    pub async fn greet(load: Settled<&Vec<u64>>, name: &str) -> Result<String> {
        Ok(format!("{name}: {}", load.is_succeeded()))
    }

    #[task(when = self::always_but_once)]
    pub async fn named_like_a_word() -> Result<()> {
        Ok(())
    }

    fn always_but_once() -> bool {
        true
    }
}

fn main() {
    assert!(is_large(&[1, 2, 3], &Input(1), &State::from(Threshold(1))));
    assert_eq!(flow::workflow().plan().n_tasks(), 6);
}
