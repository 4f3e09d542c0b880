//! The group: assignments, revokes, offsets.

use super::*;

/// Reads on until the group takes something away; answers with what was read.
async fn drain_at_revoke(member: &mut Member) -> Vec<TopicPartition> {
    let (mut partitions, drained) = member
        .event("a revoke", |event| match event {
            Event::Revoked { partitions, drained } => Ok((partitions, drained)),
            // The cooperative protocol tells of rebalances that change nothing for us, too.
            Event::Assigned { partitions, .. } if partitions.is_empty() => Err(Event::Statistics(Vec::new())),
            other => Err(other),
        })
        .await;
    while member.covered.iter().any(|(partition, at)| partitions.contains(partition) && *at < 1_000) {
        member.take().await;
    }
    let positions =
        partitions.iter().filter_map(|partition| Some((partition.clone(), *member.covered.get(partition)?)));
    drained.send(positions.collect()).unwrap();
    partitions.sort();
    partitions
}

#[tokio::test]
async fn a_second_member_gets_its_share_after_the_first_has_drained() {
    for (kind, source) in kinds(&kafka::source(&["-"])) {
        let topic = kafka::topic(4);
        (0..4).for_each(|partition| kafka::produce(&topic, partition, 1_000));
        let source = Source { topics: Topics::List(vec![topic.clone()]), ..source };
        let mut first = Member::join(&source);
        let (generation, partitions) = first.assigned().await;
        assert_eq!(partitions.len(), 4, "{kind}");
        first.read_from_start(generation, &partitions);
        let mut second = Member::join(&source);
        let revoked = drain_at_revoke(&mut first).await;
        // Nobody has a partition before its positions are in the group.
        let (generation, theirs) = second.assigned().await;
        assert!(theirs.iter().all(|partition| revoked.contains(partition)), "{kind}: {theirs:?} of {revoked:?}");
        assert_eq!(theirs.len(), 2, "{kind}");
        let cluster = Cluster::connect(&source).unwrap();
        let committed = cluster.committed(&theirs).unwrap();
        assert_eq!(committed, [Some(1_000), Some(1_000)], "{kind}");
        let starts: Vec<_> = theirs.iter().map(|partition| (partition.clone(), 1_000)).collect();
        second.read(generation, &starts);
        (0..4).for_each(|partition| kafka::produce(&topic, partition, 10));
        let ends: Vec<_> = theirs.iter().map(|partition| (partition.clone(), 1_010)).collect();
        second.take_up_to(&ends).await;
        assert_eq!(second.got.len(), 20, "{kind}");
        assert!(second.got.iter().all(|got| got.offset >= 1_000), "{kind}: nothing twice");
        second.stop();
        first.stop();
    }
}

#[tokio::test]
async fn a_claim_that_takes_long_leaves_the_group_alone() {
    let topic = kafka::topic(2);
    kafka::produce(&topic, 0, 10);
    for (kind, source) in kinds(&kafka::source(&[&topic])) {
        let mut member = Member::join(&source);
        let (generation, partitions) = member.assigned().await;
        // Longer than the session: without heartbeats the member would have been thrown out.
        let end = Instant::now() + Duration::from_secs(8);
        while let Ok(event) = tokio::time::timeout_at(end.into(), member.events.recv()).await {
            assert!(matches!(event, Some(Event::Statistics(_))), "{kind}: {event:?}");
        }
        if source.protocol == GroupProtocol::Classic {
            assert_eq!(kafka::group_state(&source.group), ("Stable".to_owned(), 1), "{kind}");
        }
        member.read_from_start(generation, &partitions);
        member.take_up_to(&[(at(&topic, 0), 10)]).await;
        member.stop();
    }
}

#[tokio::test]
async fn only_what_was_handed_in_reaches_the_group() {
    let topic = kafka::topic(3);
    (0..3).for_each(|partition| kafka::produce(&topic, partition, 100));
    let source = kafka::source(&[&topic]);
    let mut member = Member::join(&source);
    let (generation, partitions) = member.assigned().await;
    member.read_from_start(generation, &partitions);
    member.take_up_to(&[(at(&topic, 0), 100), (at(&topic, 1), 100), (at(&topic, 2), 100)]).await;
    let committed = |partition| kafka::committed(&source.group, &topic, partition);
    assert_eq!(committed(0), None, "reading commits nothing");
    member.consumer.commit(vec![(at(&topic, 0), 40)]);
    member.consumer.commit(vec![(at(&topic, 0), 60), (at(&topic, 1), 7)]);
    kafka::wait_until("the commit", || committed(0) == Some(60) && committed(1) == Some(7));
    // Lower than before: of no use. Handed in just before the end: stored.
    member.consumer.commit(vec![(at(&topic, 0), 50), (at(&topic, 1), 8)]);
    member.stop();
    assert_eq!((committed(0), committed(1), committed(2)), (Some(60), Some(8), None));
}
