//! What can be asked of the state of a run.

use std::sync::Arc;

use super::fact::{Conclusion, RunFailure, TaskRunKey};
use super::map::Form;
use super::task_run::{self, Skip, Stage, State, TaskRunView};
use super::{Node, Phase, RunState, scope};
use crate::name::RunId;
use crate::output::Output;
use crate::plan::Plan;
use crate::task::{Argument, Edge, Ending, Settled};

impl RunState {
    /// The run's identity.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The plan that it runs by.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The run's input.
    pub fn input(&self) -> &Output {
        &self.input
    }

    /// Whether this attempt's body is running.
    pub fn is_running(&self, key: TaskRunKey, attempt: u32) -> bool {
        let node = self.nodes.get(key.task as usize);
        let run = node.and_then(|node| node.stage.run(key.map_index));
        run.is_some_and(|run| run.attempt == attempt && matches!(run.state, State::Running))
    }

    /// Whether the task run waits for its start, and nobody has called it off meanwhile.
    pub fn is_ready(&self, key: TaskRunKey) -> bool {
        let node = self.nodes.get(key.task as usize).filter(|_| self.halt.is_none());
        let run = node.and_then(|node| node.stage.run(key.map_index));
        run.is_some_and(|run| matches!(run.state, State::Ready))
    }

    /// The task runs that hold a slot and wait for their start to be durable.
    pub fn starting(&self) -> impl Iterator<Item = TaskRunKey> {
        let runs = (0..).zip(&self.nodes).flat_map(|(task, node)| node.stage.runs(task));
        runs.filter(|(_, run)| matches!(run.state, State::Starting)).map(|(key, _)| key)
    }

    /// Whether the run's end is durable, or that it was let go.
    pub fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// How the run has ended, or is ending.
    pub fn conclusion(&self) -> Option<&Conclusion> {
        self.conclusion.as_ref()
    }

    /// Takes note of how the run has ended, after all its facts were replayed.
    pub fn conclude(&mut self, how: Conclusion) {
        self.conclusion = Some(how);
        self.phase = Phase::Ended;
    }

    /// Why the run fails or has failed: the first failed task run whose failure no other task handled, or
    /// what its deadline found.
    pub fn failure(&self) -> Option<&RunFailure> {
        if let Some(conclusion) = &self.conclusion {
            return conclusion.failure();
        }
        self.failures.iter().find(|(task, _)| !self.is_handled(*task)).map(|(_, failure)| failure)
    }

    /// The failures that another task was told of and succeeded: the first of each failed task.
    pub fn handled_failures(&self) -> impl Iterator<Item = &RunFailure> {
        self.failures.iter().filter(|(task, _)| self.is_handled(*task)).map(|(_, failure)| failure)
    }

    fn is_handled(&self, task: u32) -> bool {
        self.plan.handlers(task).iter().any(|&handler| self.nodes[handler as usize].stage.has_succeeded())
    }

    /// How many task runs are skipped: tasks, and those of a task that others of it are not.
    pub fn n_skipped(&self) -> u32 {
        self.n_skipped
    }

    /// How many task runs have not ended, as [`RunState::task_runs`] shows them: when the run has, those that
    /// were cancelled with it.
    pub fn n_unended(&self) -> usize {
        if self.n_open == 0 {
            return 0;
        }
        let unended = |(task, node): (u32, &Node)| match &node.stage {
            stage if stage.is_waiting() => 1,
            stage => stage.runs(task).filter(|(_, run)| !run.has_ended()).count(),
        };
        (0..).zip(&self.nodes).map(unended).sum()
    }

    /// How many facts the run asked to persist since it was taken up.
    pub fn n_persisted(&self) -> u64 {
        self.n_persisted
    }

    /// The output of a task that has succeeded: of a mapped one, the list.
    pub fn output(&self, task: u32) -> Option<Output> {
        match &self.nodes.get(task as usize)?.stage {
            Stage::Single(run) => run.output().cloned(),
            stage => stage.has_succeeded().then(|| self.output_of(task)),
        }
    }

    /// The output of one task run that has succeeded.
    pub fn element(&self, key: TaskRunKey) -> Option<&Output> {
        self.nodes.get(key.task as usize)?.stage.run(key.map_index)?.output()
    }

    /// The arguments of a task run that is to be executed, in the order of its dependencies.
    pub fn arguments(&self, key: TaskRunKey) -> Vec<Option<Argument>> {
        let streams = self.plan.task(key.task).streams;
        let argument = |&(dependency, edge): &(u32, Edge)| {
            let settled = match edge {
                Edge::Order => return None,
                Edge::Pairs(_) => Settled::Succeeded(self.pair(key, dependency)),
                Edge::Each(_) if streams => Settled::Succeeded(self.item(key, dependency)),
                Edge::Value | Edge::Each(_) => Settled::Succeeded(self.output_of(dependency)),
                Edge::Settled => self.became(dependency),
            };
            let element = key.map_index.filter(|_| matches!(edge, Edge::Each(_)));
            let element = element.map(|index| if streams { 0 } else { index });
            let is_pair = matches!(edge, Edge::Pairs(_));
            Some(Argument { task: self.plan.task(dependency).name.clone(), settled, element, is_pair })
        };
        self.plan.task(key.task).dependencies.iter().map(argument).collect()
    }

    /// The two that a task run over pairs makes one of, as a list.
    fn pair(&self, key: TaskRunKey, list: u32) -> Output {
        let Stage::Map(map) = &self.nodes[key.task as usize].stage else {
            unreachable!("a task over pairs has its task runs")
        };
        let gather = self.plan.task(key.task).definition.gather;
        map.pair(key.map_index.unwrap_or_default(), gather, &self.output_of(list))
    }

    /// The element of a list that still grows, as a list of its own.
    fn item(&self, key: TaskRunKey, list: u32) -> Output {
        let Stage::Map(map) = &self.nodes[list as usize].stage else {
            unreachable!("a task that goes step by step has its steps")
        };
        let item = map.item(key.map_index.unwrap_or_default()).expect("its step has succeeded").clone();
        Output::gathered(vec![item], self.plan.task(list).definition.gather)
    }

    /// What the step before this one returned.
    pub fn previous(&self, key: TaskRunKey) -> Option<Output> {
        let before = key.map_index?.checked_sub(1)?;
        match &self.nodes[key.task as usize].stage {
            Stage::Map(map) if map.form == Form::Steps => map.item(before).cloned(),
            _ => None,
        }
    }

    /// What a task sees of the context: the input and the keys of all tasks before it.
    pub fn scope(&mut self, task: u32) -> Arc<crate::context::Scope> {
        self.scopes.before(task, &self.plan, &self.nodes, &self.input)
    }

    /// The run's final context: what all tasks wrote, in topological order, over the input.
    pub fn context(&self) -> crate::Context {
        scope::merged(&self.plan, &self.nodes, &self.input)
    }

    /// What the callback of a task run's end is told.
    ///
    /// # Panics
    /// When the task run has not ended.
    pub fn ending_of(&mut self, key: TaskRunKey) -> Ending {
        let mut scope = self.scope(key.task);
        let task = &self.plan.task(key.task).name;
        let run = self.nodes[key.task as usize].stage.run(key.map_index).expect("a task run that has ended");
        if let Some(writes) = run.writes() {
            let by = crate::context::Writer::Task(key.task, key.map_index);
            Arc::make_mut(&mut scope).write(by, &Arc::from(format!("task {task:?}")), writes);
        }
        let failure = run.failure.as_deref().filter(|_| run.output().is_none()).cloned();
        let context = crate::Context::over(scope);
        Ending::new(self.id, task.as_str(), key.map_index, run.attempt, failure, context)
    }

    /// What the run's own callback is told.
    pub fn ending(&self) -> Ending {
        let failure = self.failure().map(|failure| failure.failure.clone());
        Ending::new(self.id, self.plan.workflow().as_str(), None, 0, failure, self.context())
    }

    /// All task runs, in topological order; a mapped task by its elements, in their order.
    pub fn task_runs(&self) -> impl Iterator<Item = TaskRunView<'_>> {
        self.plan.topological().iter().flat_map(|&task| {
            let name = &self.plan.task(task).name;
            let because = |because: u32| &self.plan.task(because).name;
            let reason = |skip: &Skip| self.skip_reason(task, skip);
            let mut views = task_run::views(task, name, &self.nodes[task as usize].stage, because, reason);
            if self.conclusion.is_some() {
                views.iter_mut().for_each(TaskRunView::conclude);
            }
            views
        })
    }
}
