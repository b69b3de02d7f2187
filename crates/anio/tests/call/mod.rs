//! The body of a task, called by hand with what the engine would give it.

#![allow(dead_code, reason = "not every test calls every kind of body")]

use std::sync::Arc;

use anio::context::Scope;
use anio::prelude::*;
use anio::task::{Argument, Never, States, TaskCall, TaskDefinition};
use anio::{Output, RunId, TaskName, TaskReturn, TaskType, WorkflowName};

/// What a body is called with.
pub(crate) struct Call {
    input: Output,
    arguments: Vec<Option<Argument>>,
    previous: Option<Output>,
    states: States,
}

impl Call {
    pub(crate) fn new() -> Self {
        Self { input: json("null"), arguments: Vec::new(), previous: None, states: States::default() }
    }

    pub(crate) fn input(mut self, input: Output) -> Self {
        self.input = input;
        self
    }

    pub(crate) fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(Arc::new(state));
        self
    }

    pub(crate) fn argument(self, task: &str, value: Output) -> Self {
        self.add(task, value, None, false)
    }

    pub(crate) fn element(self, task: &str, value: Output, element: u32) -> Self {
        self.add(task, value, Some(element), false)
    }

    /// The two, as the core gives them: a list that is gathered of them.
    pub(crate) fn pair<T: TaskType>(self, task: &str, pair: [Output; 2]) -> Self {
        let gather = T::definition().gather;
        self.add(task, Output::gathered(pair.into(), gather), None, true)
    }

    pub(crate) fn previous(mut self, previous: Output) -> Self {
        self.previous = Some(previous);
        self
    }

    fn add(mut self, task: &str, value: Output, element: Option<u32>, is_pair: bool) -> Self {
        self.arguments.push(Some(Argument {
            task: TaskName::trusted(task),
            settled: anio::task::Settled::Succeeded(value),
            element,
            is_pair,
        }));
        self
    }

    pub(crate) fn run<T: TaskType>(self) -> Result<TaskReturn> {
        let TaskDefinition { name, task, .. } = T::definition();
        let run_id = RUN.parse::<RunId>().expect("it is a UUID");
        let (workflow, name) = (WorkflowName::trusted("flow"), TaskName::trusted(name));
        let handle = TaskHandle::new(run_id, workflow, name, None, 2, Arc::new(Never));
        let scope = Arc::new(Scope::of_input(self.input.json()));
        let call = TaskCall::new(handle, self.input, self.arguments, scope, Arc::new(self.states));
        futures::executor::block_on(task.run(call.with_previous(self.previous)))
    }

    pub(crate) fn output<T: TaskType>(self) -> String {
        self.run::<T>().expect("the task succeeds").output.json().get().to_owned()
    }

    pub(crate) fn error<T: TaskType>(self) -> TaskError {
        self.run::<T>().expect_err("the task fails")
    }
}

/// The run that bodies are called for.
pub(crate) const RUN: &str = "01938e2a-7c00-7000-8000-000000000001";

/// JSON as the store gives it back.
pub(crate) fn json(text: &str) -> Output {
    Output::from_json(text).expect("the text is JSON")
}
