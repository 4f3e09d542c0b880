//! Partitions that the group has given to nobody.

use std::collections::BTreeSet;
use std::task::Poll;

use super::instance::{ChildMember, static_source};
use super::*;

/// What a member holds, and what it was told of partitions without an owner.
#[derive(Default)]
struct Held {
    partitions: BTreeSet<TopicPartition>,
    told: Vec<Vec<TopicPartition>>,
}

impl Held {
    fn note(&mut self, event: Event) {
        match event {
            Event::Assigned { partitions, .. } => self.partitions.extend(partitions),
            Event::Revoked { partitions, drained } => {
                self.partitions.retain(|partition| !partitions.contains(partition));
                drained.send(Vec::new()).unwrap();
            }
            Event::Unassigned(partitions) => self.told.push(partitions),
            Event::Statistics(_) => {}
            other => panic!("{other:?} came"),
        }
    }
}

/// The next event of any of them.
async fn next_of(members: &mut [Member]) -> (usize, Event) {
    std::future::poll_fn(|context| {
        for (index, member) in members.iter_mut().enumerate() {
            if let Poll::Ready(event) = member.events.poll_recv(context) {
                return Poll::Ready((index, event.expect("a living consumer")));
            }
        }
        Poll::Pending
    })
    .await
}

/// Until each of the partitions is held by one of the members, and none of them says otherwise. Returns what they told.
async fn hold_all<const N: usize>(mut members: [Member; N], count: usize) -> BTreeSet<TopicPartition> {
    let mut held: [Held; N] = std::array::from_fn(|_| Held::default());
    let wait = async {
        while held.iter().map(|held| held.partitions.len()).sum::<usize>() < count
            || held.iter().all(|held| held.told.is_empty())
            || held.iter().any(|held| held.told.last().is_some_and(|told| !told.is_empty()))
        {
            let (index, event) = next_of(&mut members).await;
            held[index].note(event);
        }
    };
    let found = tokio::time::timeout(2 * PATIENCE, wait).await;
    let owners: Vec<_> = held.iter().map(|held| &held.partitions).collect();
    assert!(found.is_ok(), "partitions have no owner: {owners:?}");
    members.into_iter().for_each(Member::stop);
    held.into_iter().flat_map(|held| held.told).flatten().collect()
}

/// A member gives partitions up in the first rebalance of the cooperative protocol, and joins a second one so that
/// another gets them. Killed in between, it is back in a group that is stable without them.
#[tokio::test]
async fn partitions_of_a_rebalance_that_was_cut_short_find_an_owner() {
    let topic = kafka::topic(4);
    let group = kafka::unique("g");
    let source = static_source(&topic, &group, "cooperative-sticky");
    let mut child = ChildMember::join(&topic, &group, "cooperative-sticky");
    child.says("assigned 4");
    let second = Member::join(&source);
    child.says("revoked 2");
    child.kill();
    let told = hold_all([Member::join(&source), second], 4).await;
    assert_eq!(told.len(), 2, "{told:?}");
}

/// The group's leader looks for new partitions. A static one that comes back takes them for old ones, whatever the
/// strategy, and keeps its assignment without them.
#[tokio::test]
async fn partitions_that_came_while_the_leader_was_away_find_an_owner() {
    for strategy in ["cooperative-sticky", "range"] {
        let topic = kafka::topic(2);
        let group = kafka::unique("g");
        let mut child = ChildMember::join(&topic, &group, strategy);
        child.says("assigned 2");
        kafka::grow(&topic, 3);
        child.kill();
        let told = hold_all([Member::join(&static_source(&topic, &group, strategy))], 3).await;
        assert_eq!(told, BTreeSet::from([at(&topic, 2)]), "{strategy}");
    }
}
