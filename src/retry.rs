//! What an error means, and how long to wait before the next try.

use std::time::Duration;

/// What is done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// It passes by itself: try the same batch again, for ever, with backoff.
    Retry,
    /// A record of the batch is at fault: find it and set it aside.
    Isolate,
    /// Only an operator can mend it: stop consuming, keep everything, check again with backoff.
    Block,
    /// Somebody else owns the partition now: drop what was read of it.
    Fenced,
}

/// Exponential backoff with jitter.
///
/// The jitter (a draw between half of the ceiling and all of it) keeps many lanes from knocking at a database that comes back all at
/// the same moment: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
#[derive(Debug, Clone)]
pub struct Backoff {
    attempts: u32,
    ceiling: Duration,
}

impl Backoff {
    /// Short enough that a database's restart goes nearly unnoticed.
    const FIRST: Duration = Duration::from_millis(50);
    /// Long enough not to burden a database in trouble, short enough that an operator who mended it sees it at once.
    const LONGEST: Duration = Duration::from_secs(5);

    pub fn new() -> Self {
        Self { attempts: 0, ceiling: Self::FIRST }
    }

    /// How often it was waited since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next time to wait: between half of the ceiling and the ceiling, which doubles each time.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.ceiling.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.attempts = self.attempts.saturating_add(1);
        self.ceiling = (self.ceiling * 2).min(Self::LONGEST);
        delay
    }

    /// After a success the next failure starts with the shortest wait again.
    pub fn reset(&mut self) {
        *self = Self::new();
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_ceiling_and_never_to_nothing() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = (0..20).map(|_| backoff.next_delay()).collect();
        assert!(delays[0] <= Backoff::FIRST && delays[0] >= Backoff::FIRST / 2);
        assert!(delays[19] <= Backoff::LONGEST && delays[19] >= Backoff::LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert!(backoff.next_delay() <= Backoff::FIRST);
    }
}
