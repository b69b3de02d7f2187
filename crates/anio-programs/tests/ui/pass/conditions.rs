use anio::prelude::*;

mod sources {
    use anio::prelude::*;

    #[task]
    pub fn mirror() -> Result<u32> {
        Ok(7)
    }
}

#[workflow]
mod flow {
    use super::*;

    #[task(when = always)]
    pub fn load(context: &mut Context) -> Result<u32> {
        context.insert("rows", 3)?;
        Ok(3)
    }

    #[task(after(load), when = value("rows", greater_than, 1_000))]
    pub fn in_parts() -> Result<()> {
        Ok(())
    }

    #[task(name = "at once", after(self::load), when = none(value("rows", greater_than, 1_000),))]
    pub fn at_once() -> Result<()> {
        Ok(())
    }

    // Two steps back, by a path, and of a task elsewhere that comes before by way of another.
    #[task(after(in_parts, at_once, super::second::copy), when = all(
        any(succeeded(in_parts), succeeded(self::at_once)),
        none(failed(load), skipped(super::sources::mirror)),
        done(load),
        value("a", equals, -1),
        value("b", not_equals, 2.5),
        value("c", less_than, -1e3),
        value("d", contains, "x"),
        value("e", not_contains, true),
        value("f", exists),
        value("g", not_exists),
        value("h", equals, 5_000_000_000),
        value("i", equals, 18_446_744_073_709_551_615),
        value("j", equals, -9_223_372_036_854_775_808),
        value("k", equals, false),
    ))]
    pub fn report() -> Result<()> {
        Ok(())
    }

    #[task(dependencies = ["at once"], trigger_rules = any(
        task_success("at once"),
        task_failed("load"),
        all(task_skipped("at once"), context_value("rows", equals, 3)),
    ))]
    pub fn keyed() -> Result<()> {
        Ok(())
    }
}

mod second {
    use anio::prelude::*;

    #[task]
    pub fn copy(#[from(super::sources::mirror)] mirror: u32) -> Result<u32> {
        Ok(mirror)
    }
}

#[task(id = "first")]
async fn first() -> Result<(), TaskError> {
    Ok(())
}

#[task(id = "handler", dependencies = ["first"], trigger_rules = task_failed("first"))]
async fn handler() -> Result<(), TaskError> {
    Ok(())
}

#[task(dependencies = ["handler"], when = skipped(handler))]
async fn last() -> Result<(), TaskError> {
    Ok(())
}

fn condition(workflow: &Workflow, task: &str) -> String {
    let position = workflow.plan().position(task).unwrap();
    workflow.plan().task(position).definition.condition.as_ref().unwrap().to_string()
}

fn main() {
    let flow = flow::workflow();
    assert_eq!(condition(&flow, "load"), "always");
    assert_eq!(condition(&flow, "in_parts"), r#"value("rows", greater_than, 1000)"#);
    assert_eq!(condition(&flow, "at once"), r#"none(value("rows", greater_than, 1000))"#);
    assert_eq!(
        condition(&flow, "report"),
        "all(any(succeeded(in_parts), succeeded(at once)), none(failed(load), skipped(mirror)), done(load), \
         value(\"a\", equals, -1), value(\"b\", not_equals, 2.5), value(\"c\", less_than, -1000.0), \
         value(\"d\", contains, \"x\"), value(\"e\", not_contains, true), value(\"f\", exists), \
         value(\"g\", not_exists), value(\"h\", equals, 5000000000), value(\"i\", equals, 18446744073709551615), \
         value(\"j\", equals, -9223372036854775808), value(\"k\", equals, false))"
    );
    assert_eq!(
        condition(&flow, "keyed"),
        "any(succeeded(at once), failed(load), all(skipped(at once), value(\"rows\", equals, 3)))"
    );
    let listed = anio::workflow! { name: "listed", tasks: [first, handler, last] };
    assert_eq!(condition(&listed, "handler"), "failed(first)");
    assert_eq!(condition(&listed, "last"), "skipped(handler)");
}
