//! Partitions that the group has given to nobody (classic protocol, static members).
//!
//! A static member that comes back into a stable group has its old assignment at once, without a rebalance. So the
//! group can be stable while partitions have no owner, and nothing in it will ever change that:
//!
//! - In the first rebalance of the cooperative protocol a member gives partitions up; it then joins a second one, in
//!   which they are given to another. Killed in between, it does not know that it owes the group a rebalance.
//! - The leader looks for new partitions. Killed while they come, it takes them for old ones.
//!
//! The coordinator is therefore asked now and then who holds what. librdkafka cannot ask for a rebalance, so a member
//! that finds partitions without an owner leaves the group and joins it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;

use super::describe_group::Group;
use super::rebalance::Client;
use super::{Cluster, Command, ConsumeError, admin, client, spawn};
use crate::config::Source;
use crate::offsets::TopicPartition;

/// The first look: whoever has just come back may be the one who owes a rebalance.
const FIRST: Duration = Duration::from_secs(3);
const EVERY: Duration = Duration::from_secs(30);
/// While the group rebalances, or partitions have no owner.
const AGAIN: Duration = Duration::from_secs(5);
/// The partitions of a revoke have no owner until the old one has drained (`DRAIN_LIMIT`) and stored its positions.
const GRACE: Duration = Duration::from_secs(20);
/// New partitions are found by the group's leader; it has this much longer.
const NEW: Duration = Duration::from_millis(2 * client::METADATA_REFRESH_MS as u64);
/// What a rejoin did not cure is tried again after twice the time, so often at most.
const DOUBLINGS: u32 = 5;
/// A client that has not left the group by then joins it again all the same.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// Looks until `ended` disconnects.
pub(super) fn watch(
    source: &Source,
    instance: String,
    commands: Sender<Command>,
    ended: Receiver<()>,
) -> Result<(), ConsumeError> {
    let source = source.clone();
    let work = move || {
        let mut looks = Looks::default();
        let mut wait = FIRST;
        while matches!(ended.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
            wait = match look(&source) {
                Ok((all, group)) => {
                    let found = looks.take(Instant::now(), &all, &group, &instance);
                    let told = found.news.map(Command::Unassigned);
                    let cure = found.is_our_turn.then_some(Command::Rejoin);
                    if told.into_iter().chain(cure).any(|command| commands.send(command).is_err()) {
                        return;
                    }
                    found.wait
                }
                // A cluster that does not answer is for the consumer to tell.
                Err(error) => {
                    tracing::debug!(group = source.group, %error, "who holds which partition could not be asked");
                    EVERY
                }
            };
        }
    };
    spawn("group".to_owned(), work)
}

/// On a client of its own each time: one more that stays connected would cost more than it saves.
fn look(source: &Source) -> Result<(Vec<TopicPartition>, Group), ConsumeError> {
    let cluster = Cluster::connect(source)?;
    Ok((cluster.partitions(&source.topics)?, cluster.group()?))
}

/// What the looks so far have shown.
#[derive(Debug, Default)]
struct Looks {
    /// Every partition of the last look.
    known: BTreeSet<TopicPartition>,
    /// Since when nobody holds these.
    since: BTreeMap<TopicPartition, Instant>,
    told: BTreeSet<TopicPartition>,
    rejoined: Option<Instant>,
    rejoins: u32,
}

#[derive(Debug, PartialEq)]
struct Found {
    /// What has no owner, where that has changed.
    news: Option<Vec<TopicPartition>>,
    is_our_turn: bool,
    /// Until the next look.
    wait: Duration,
}

impl Looks {
    fn take(&mut self, now: Instant, all: &[TopicPartition], group: &Group, instance: &str) -> Found {
        if !group.is_stable {
            // What comes of the rebalance is waited for.
            self.since.values_mut().for_each(|since| *since = now);
            return Found { news: None, is_our_turn: false, wait: AGAIN };
        }
        let held: BTreeSet<_> = group.members.iter().flat_map(|member| &member.partitions).collect();
        let is_first = self.known.is_empty();
        let orphans = all.iter().filter(|partition| !held.contains(partition));
        self.since = orphans
            .map(|partition| {
                let start = if is_first || self.known.contains(partition) { now } else { now + NEW };
                (partition.clone(), self.since.get(partition).copied().unwrap_or(start))
            })
            .collect();
        self.known = all.iter().cloned().collect();
        let news = self.news(now);
        let is_our_turn = self.is_our_turn(now, group, instance);
        if is_our_turn {
            self.rejoined = Some(now);
            self.rejoins += 1;
        }
        Found { news, is_our_turn, wait: if self.since.is_empty() { EVERY } else { AGAIN } }
    }

    /// What was told stays told until somebody holds it.
    fn news(&mut self, now: Instant) -> Option<Vec<TopicPartition>> {
        let is_due = |since: &Instant| now.saturating_duration_since(*since) >= GRACE;
        let due = self.since.iter().filter(|(partition, since)| is_due(since) || self.told.contains(partition));
        let due: BTreeSet<_> = due.map(|(partition, _)| partition.clone()).collect();
        if due == self.told {
            return None;
        }
        self.told = due;
        if self.told.is_empty() {
            (self.rejoined, self.rejoins) = (None, 0);
        }
        Some(self.told.iter().cloned().collect())
    }

    /// One member's rejoin is enough: whoever holds the least goes first, and loses the least by it.
    fn is_our_turn(&self, now: Instant, group: &Group, instance: &str) -> bool {
        let mut order: Vec<_> = group.members.iter().collect();
        order.sort_by_key(|member| (member.partitions.len(), &member.id));
        let rank = order.iter().position(|member| member.instance.as_deref() == Some(instance));
        let rank = rank.unwrap_or(order.len()) as u32;
        let wait = GRACE * 2_u32.pow(self.rejoins.min(DOUBLINGS)) + AGAIN * rank;
        let begin = |since: &Instant| self.rejoined.map_or(*since, |rejoined| rejoined.max(*since));
        self.since.values().any(|since| now.saturating_duration_since(begin(since)) >= wait)
    }
}

/// A member that has begun to leave the group, in order to join it again.
pub(super) struct Rejoin {
    pub(super) topics: Vec<String>,
    began: Instant,
}

impl Rejoin {
    /// Leaves the group; what is held is revoked in the usual way before. `None`: nothing is subscribed to.
    pub(super) fn begin(client: &Client) -> Option<Self> {
        let topics: Vec<String> =
            client.subscription().ok()?.elements().iter().map(|element| element.topic().to_owned()).collect();
        if topics.is_empty() {
            return None;
        }
        client.unsubscribe();
        Some(Self { topics, began: Instant::now() })
    }

    /// Joins again, once the client has left: before that, its own partitions would be all that the group hears of.
    /// Returns whether it is done.
    pub(super) fn go_on(&self, client: &Client) -> KafkaResult<bool> {
        if admin::is_member(client) && self.began.elapsed() < LEAVE_LIMIT {
            return Ok(false);
        }
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::describe_group::Member;
    use super::*;

    fn partitions(numbers: &[i32]) -> Vec<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new("t", *number)).collect()
    }

    fn group(held: &[&[i32]]) -> Group {
        let member = |(index, numbers): (usize, &&[i32])| Member {
            id: format!("i-{index}-x"),
            instance: Some(format!("i-{index}")),
            host: String::new(),
            partitions: partitions(numbers),
        };
        Group { is_stable: true, members: held.iter().enumerate().map(member).collect() }
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn what_nobody_holds_for_long_is_told_and_cured_by_whoever_holds_the_least() {
        let (start, all, broken) = (Instant::now(), partitions(&[0, 1, 2, 3]), group(&[&[2, 3], &[]]));
        let (mut first, mut second) = (Looks::default(), Looks::default());
        let quiet = Found { news: None, is_our_turn: false, wait: AGAIN };
        for seconds in [0, 5, 15] {
            assert_eq!(first.take(after(start, seconds), &all, &broken, "i-0"), quiet);
            assert_eq!(second.take(after(start, seconds), &all, &broken, "i-1"), quiet);
        }
        let told = Found { news: Some(partitions(&[0, 1])), ..quiet };
        assert_eq!(first.take(after(start, 20), &all, &broken, "i-0"), told);
        let turn = Found { is_our_turn: true, ..told };
        assert_eq!(second.take(after(start, 20), &all, &broken, "i-1"), turn);
        // Nothing came of it: the next in order, and the first one again much later.
        let turn = Found { news: None, is_our_turn: true, wait: AGAIN };
        assert_eq!(first.take(after(start, 25), &all, &broken, "i-0"), turn);
        assert!(!second.take(after(start, 50), &all, &broken, "i-1").is_our_turn);
        assert_eq!(second.take(after(start, 60), &all, &broken, "i-1"), turn);
        let cured = Found { news: Some(Vec::new()), is_our_turn: false, wait: EVERY };
        assert_eq!(second.take(after(start, 65), &all, &group(&[&[2, 3], &[0, 1]]), "i-1"), cured);
        assert_eq!(second.rejoins, 0);
    }

    #[test]
    fn a_rebalance_is_waited_for() {
        let (start, all, broken) = (Instant::now(), partitions(&[0]), group(&[&[]]));
        let mut looks = Looks::default();
        looks.take(start, &all, &broken, "i-0");
        looks.take(after(start, 15), &all, &Group::default(), "i-0");
        assert_eq!(looks.take(after(start, 34), &all, &broken, "i-0").news, None);
        assert_eq!(looks.take(after(start, 35), &all, &broken, "i-0").news, Some(all));
    }

    #[test]
    fn new_partitions_are_left_to_the_leader_at_first() {
        let (start, all) = (Instant::now(), partitions(&[0, 1]));
        let held = group(&[&[0]]);
        let mut looks = Looks::default();
        assert_eq!(looks.take(start, &all[..1], &held, "i-0").wait, EVERY);
        looks.take(after(start, 30), &all, &held, "i-0");
        assert_eq!(looks.take(after(start, 100), &all, &held, "i-0").news, None);
        assert!(looks.take(after(start, 110), &all, &held, "i-0").is_our_turn);
    }

    #[test]
    fn who_is_not_in_the_group_goes_last() {
        let (start, all, broken) = (Instant::now(), partitions(&[0, 1]), group(&[&[0]]));
        let mut looks = Looks::default();
        looks.take(start, &all, &broken, "x");
        assert!(!looks.take(after(start, 20), &all, &broken, "x").is_our_turn);
        assert!(looks.take(after(start, 25), &all, &broken, "x").is_our_turn);
    }
}
