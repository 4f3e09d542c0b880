//! Records, positions, back-pressure.

use super::*;

#[tokio::test]
async fn partitions_are_read_from_the_positions_given() {
    let topic = kafka::topic(2);
    kafka::produce(&topic, 0, 100);
    kafka::produce(&topic, 1, 50);
    let mut member = Member::join(&kafka::source(&[&topic]));
    let (generation, partitions) = member.assigned().await;
    assert_eq!(partitions, [at(&topic, 0), at(&topic, 1)]);
    member.read(generation, &[(at(&topic, 0), 40), (at(&topic, 1), 0)]);
    member.take_up_to(&[(at(&topic, 0), 100), (at(&topic, 1), 50)]).await;
    assert_eq!(member.offsets(0), (40..100).collect::<Vec<_>>());
    assert_eq!(member.offsets(1), (0..50).collect::<Vec<_>>());
    // What comes later comes too.
    kafka::produce(&topic, 1, 1);
    member.take_up_to(&[(at(&topic, 1), 51)]).await;
    member.stop();
}

#[tokio::test]
async fn null_and_empty_and_headers_arrive_as_they_were_sent() {
    let topic = kafka::topic(1);
    let headers: Vec<(&str, Option<&[u8]>)> = vec![("a", Some(b"1")), ("a", None), ("b", Some(b""))];
    let sent = [
        Sent { key: None, value: None, headers: headers.clone() },
        Sent { key: Some(b""), value: Some(b""), headers: Vec::new() },
        Sent { key: Some(b"k"), value: Some(b"v"), headers: Vec::new() },
    ];
    kafka::send(&topic, 0, sent);
    let mut member = Member::join(&kafka::source(&[&topic]));
    let (generation, partitions) = member.assigned().await;
    member.read_from_start(generation, &partitions);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let delivery = member.inbox.take(tokio::time::Instant::now()).await.unwrap();
        for row in 0..delivery.records.len() {
            let record = delivery.records.get(row);
            assert!(record.timestamp().is_some_and(|time| time > 1_700_000_000_000));
            let headers: Vec<_> =
                record.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect();
            seen.push((record.key().map(<[u8]>::to_vec), record.value().map(<[u8]>::to_vec), headers));
        }
    }
    let text = |text: &[u8]| Some(text.to_vec());
    let expected = headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.map(<[u8]>::to_vec))).collect();
    assert_eq!(seen[0], (None, None, expected));
    assert_eq!(seen[1], (text(b""), text(b""), Vec::new()));
    assert_eq!(seen[2], (text(b"k"), text(b"v"), Vec::new()));
    member.stop();
}

#[tokio::test]
async fn aborted_records_are_invisible_and_markers_are_passed() {
    let topic = kafka::topic(1);
    kafka::transaction(&topic, 0, 3, End::Commit);
    kafka::transaction(&topic, 0, 5, End::Abort);
    kafka::transaction(&topic, 0, 2, End::Commit);
    kafka::transaction(&topic, 0, 4, End::Abort);
    let source = kafka::source(&[&topic]);
    let cluster = Cluster::connect(&source).unwrap();
    let high = cluster.logs(&[at(&topic, 0)]).unwrap()[0].high;
    assert_eq!(high, 3 + 5 + 2 + 4 + 4, "records and a marker for each transaction");
    let mut member = Member::join(&source);
    let (generation, partitions) = member.assigned().await;
    member.read_from_start(generation, &partitions);
    member.take_up_to(&[(at(&topic, 0), high)]).await;
    assert_eq!(member.offsets(0), [0, 1, 2, 10, 11]);
    // At the end, another aborted transaction moves the covered interval without a record.
    kafka::transaction(&topic, 0, 1, End::Abort);
    member.take_up_to(&[(at(&topic, 0), high + 2)]).await;
    assert_eq!(member.got.len(), 5);
    member.stop();
}

#[tokio::test]
async fn a_lease_of_an_older_assignment_is_not_read() {
    let topic = kafka::topic(1);
    kafka::produce(&topic, 0, 10);
    let mut member = Member::join(&kafka::source(&[&topic]));
    let (generation, partitions) = member.assigned().await;
    member.read_from_start(generation - 1, &partitions);
    // Had the old one been taken, its records from 0 would come before these.
    member.read(generation, &[(at(&topic, 0), 7)]);
    member.take_up_to(&[(at(&topic, 0), 10)]).await;
    assert_eq!(member.offsets(0), [7, 8, 9]);
    member.stop();
}

#[tokio::test]
async fn a_forgotten_partition_is_read_no_more_and_can_be_read_again() {
    for (kind, source) in kinds(&kafka::source(&["-"])) {
        let topic = kafka::topic(2);
        kafka::produce(&topic, 0, 10);
        kafka::produce(&topic, 1, 10);
        let source = Source { topics: Topics::List(vec![topic.clone()]), ..source };
        let mut member = Member::join(&source);
        let (generation, partitions) = member.assigned().await;
        member.read_from_start(generation, &partitions);
        member.take_up_to(&[(at(&topic, 0), 10), (at(&topic, 1), 10)]).await;
        member.leases[&at(&topic, 0)].end();
        member.consumer.forget(vec![at(&topic, 0)]);
        kafka::produce(&topic, 0, 10);
        kafka::produce(&topic, 1, 10);
        member.take_up_to(&[(at(&topic, 1), 20)]).await;
        assert_eq!(member.offsets(0).len(), 10, "{kind}");
        // A new claim of it starts where the database says, even before what was read already.
        member.read(generation, &[(at(&topic, 0), 5)]);
        member.take_up_to(&[(at(&topic, 0), 20)]).await;
        assert_eq!(member.offsets(0)[10..], (5..20).collect::<Vec<_>>(), "{kind}");
        member.stop();
    }
}

#[tokio::test]
async fn a_full_inbox_stops_fetching_and_neither_membership_nor_records_are_lost() {
    const RECORDS: i64 = 20_000;
    let topic = kafka::topic(2);
    kafka::produce(&topic, 0, RECORDS as usize);
    kafka::produce(&topic, 1, RECORDS as usize);
    let source = kafka::source(&[&topic]);
    let mut member = Member::join_with(&source, limits(1_000));
    let (generation, partitions) = member.assigned().await;
    member.read_from_start(generation, &partitions);
    // Nobody takes anything for longer than the session.
    let end = Instant::now() + Duration::from_secs(8);
    while let Ok(event) = tokio::time::timeout_at(end.into(), member.events.recv()).await {
        assert!(matches!(event, Some(Event::Statistics(_))), "{event:?}");
    }
    assert_eq!(kafka::group_state(&source.group), ("Stable".to_owned(), 1));
    let first = member.inbox.take(tokio::time::Instant::now()).await.unwrap();
    assert!(first.records.len() < 2_000, "the inbox is bounded: {}", first.records.len());
    for (partition, interval) in first.records.covered().iter() {
        member.covered.insert(partition.clone(), interval.to());
    }
    let before = first.records.len();
    member.take_up_to(&[(at(&topic, 0), RECORDS), (at(&topic, 1), RECORDS)]).await;
    assert_eq!(before + member.got.len(), 2 * RECORDS as usize);
    member.stop();
}

#[tokio::test]
async fn a_paused_consumer_stays_and_goes_on() {
    let topic = kafka::topic(1);
    kafka::produce(&topic, 0, 10);
    let mut member = Member::join(&kafka::source(&[&topic]));
    let (generation, partitions) = member.assigned().await;
    member.consumer.pause(true);
    member.read_from_start(generation, &partitions);
    let nothing = tokio::time::timeout(Duration::from_secs(2), member.inbox.take(tokio::time::Instant::now())).await;
    assert!(nothing.is_err(), "nothing is read while paused");
    member.consumer.pause(false);
    member.take_up_to(&[(at(&topic, 0), 10)]).await;
    member.stop();
}

#[tokio::test]
async fn a_position_that_the_topic_no_longer_has_is_told() {
    for position in [10, 500] {
        let topic = kafka::topic(2);
        kafka::produce(&topic, 0, 100);
        kafka::produce(&topic, 1, 100);
        kafka::delete_records(&topic, 0, 50);
        let mut member = Member::join(&kafka::source(&[&topic]));
        let (generation, _) = member.assigned().await;
        member.read(generation, &[(at(&topic, 0), position), (at(&topic, 1), 0)]);
        let lost = member
            .event("a lost position", |event| match event {
                Event::PositionLost(partitions) => Ok(partitions),
                other => Err(other),
            })
            .await;
        assert_eq!(lost, [at(&topic, 0)], "only that partition");
        member.take_up_to(&[(at(&topic, 1), 100)]).await;
        assert_eq!(member.offsets(0), [] as [i64; 0], "nothing was read from elsewhere");
        // Claimed again, at a position that exists.
        member.read(generation, &[(at(&topic, 0), 50)]);
        member.take_up_to(&[(at(&topic, 0), 100)]).await;
        assert_eq!(member.offsets(0), (50..100).collect::<Vec<_>>());
        member.stop();
    }
}
