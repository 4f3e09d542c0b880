//! What a pipeline is doing and what is wrong with it, for readiness, metrics and people.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::retry::Disposition;

/// The one word for a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The database has not been prepared yet.
    Starting,
    Running,
    /// Something that passes by itself is being waited out.
    Retrying,
    /// Only an operator can mend it. Nothing is lost; the cause is checked again with backoff.
    Blocked,
    Draining,
    Stopped,
    /// It ended with an error and is started again.
    Failed,
}

impl State {
    pub const ALL: [Self; 7] =
        [Self::Starting, Self::Running, Self::Retrying, Self::Blocked, Self::Draining, Self::Stopped, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Would a load balancer or an operator call it healthy?
    pub fn is_ready(self) -> bool {
        self == Self::Running
    }
}

/// Something wrong, with its cause and cure in words.
#[derive(Debug, Clone)]
pub struct Problem {
    pub disposition: Disposition,
    pub message: String,
    pub since: SystemTime,
}

#[derive(Debug)]
struct Inner {
    phase: State,
    /// By the part of the pipeline that has the problem: `lane 0`, `claim`, `kafka`.
    problems: BTreeMap<String, Problem>,
}

/// The status of one pipeline.
#[derive(Debug)]
pub struct Status {
    name: String,
    inner: Mutex<Inner>,
    state: watch::Sender<State>,
}

impl Status {
    pub fn new(name: &str) -> Arc<Self> {
        let inner = Inner { phase: State::Starting, problems: BTreeMap::new() };
        let status =
            Self { name: name.to_owned(), inner: Mutex::new(inner), state: watch::Sender::new(State::Starting) };
        status.publish(&status.lock());
        Arc::new(status)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub fn problems(&self) -> Vec<(String, Problem)> {
        self.lock().problems.iter().map(|(part, problem)| (part.clone(), problem.clone())).collect()
    }

    /// Moves on in the life of the pipeline.
    pub fn enter(&self, phase: State) {
        let mut inner = self.lock();
        inner.phase = phase;
        if matches!(phase, State::Starting | State::Stopped) {
            inner.problems.clear();
        }
        self.publish(&inner);
    }

    /// `part` has a problem; it replaces the one it had. Returns whether it is news.
    pub fn report(&self, part: &str, disposition: Disposition, message: String) -> bool {
        let mut inner = self.lock();
        let known = inner.problems.get(part);
        let is_news = known.is_none_or(|known| known.disposition != disposition || known.message != message);
        let since =
            known.filter(|known| known.disposition == disposition).map_or_else(SystemTime::now, |known| known.since);
        inner.problems.insert(part.to_owned(), Problem { disposition, message, since });
        self.publish(&inner);
        is_news
    }

    /// `part` works. Returns whether it had a problem.
    pub fn clear(&self, part: &str) -> bool {
        let mut inner = self.lock();
        let had = inner.problems.remove(part).is_some();
        if had {
            self.publish(&inner);
        }
        had
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, inner: &Inner) {
        let has = |disposition| inner.problems.values().any(|problem| problem.disposition == disposition);
        let state = match inner.phase {
            State::Starting | State::Running if has(Disposition::Block) => State::Blocked,
            State::Starting | State::Running if has(Disposition::Retry) => State::Retrying,
            phase => phase,
        };
        self.state.send_replace(state);
        for candidate in State::ALL {
            metrics::gauge!("tidegate_pipeline_state", "pipeline" => self.name.clone(), "state" => candidate.name())
                .set(f64::from(u8::from(candidate == state)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_problem_names_the_state_and_its_end_restores_it() {
        let status = Status::new("orders");
        status.enter(State::Running);
        assert!(status.report("lane 0", Disposition::Retry, "connection refused".into()));
        assert!(!status.report("lane 0", Disposition::Retry, "connection refused".into()), "no news");
        assert_eq!(status.state(), State::Retrying);
        status.report("lane 1", Disposition::Block, "no such table".into());
        assert_eq!(status.state(), State::Blocked);
        assert!(status.clear("lane 1"));
        assert!(status.clear("lane 0"));
        assert!(!status.clear("lane 0"));
        assert_eq!(status.state(), State::Running);
    }

    #[test]
    fn draining_is_not_ready_whatever_else() {
        let status = Status::new("orders");
        status.enter(State::Running);
        assert!(status.state().is_ready());
        status.enter(State::Draining);
        status.report("lane 0", Disposition::Block, "no such table".into());
        assert_eq!(status.state(), State::Draining);
        assert!(!status.state().is_ready());
    }
}
