//! Brokers and topics that are away.

use super::*;

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_named_and_found_later() {
    let topic = kafka::unique("t");
    let mut member = Member::join(&kafka::source(&[&topic]));
    let error = member
        .event("a problem", |event| match event {
            Event::Problem(error) => Ok(error),
            Event::Assigned { .. } => Err(Event::Statistics(Vec::new())),
            other => Err(other),
        })
        .await;
    assert_eq!(error.disposition, Disposition::Block);
    assert!(error.message.contains(&topic), "{error}");
    kafka::create(&topic, 1);
    member
        .event("recovery", |event| match event {
            Event::Recovered => Ok(()),
            Event::Assigned { .. } => Err(Event::Statistics(Vec::new())),
            other => Err(other),
        })
        .await;
    member.stop();
}

#[tokio::test]
async fn a_deleted_topic_is_named_and_the_others_are_read_on() {
    let (gone, kept) = (kafka::topic(1), kafka::topic(1));
    let mut member = Member::join(&kafka::source(&[&gone, &kept]));
    let (generation, partitions) = member.assigned().await;
    member.read_from_start(generation, &partitions);
    kafka::delete(&gone);
    let error = loop {
        let event = tokio::time::timeout(PATIENCE, member.events.recv()).await.expect("a problem").unwrap();
        match event {
            Event::Problem(error) if error.disposition == Disposition::Block => break error,
            // The group takes the deleted topic's partition, and may deal out the rest anew.
            Event::Assigned { generation, partitions } => member.read_from_start(generation, &partitions),
            _ => {}
        }
    };
    assert!(error.message.contains(&gone), "{error}");
    kafka::produce(&kept, 0, 5);
    member.take_up_to(&[(at(&kept, 0), 5)]).await;
    member.stop();
}

#[tokio::test]
async fn brokers_that_are_away_are_waited_for_and_do_not_hold_up_the_end() {
    let mut source = kafka::source(&["t"]);
    source.brokers = vec![nowhere()];
    let mut member = Member::join(&source);
    let error = member
        .event("a problem", |event| match event {
            Event::Problem(error) => Ok(error),
            other => Err(other),
        })
        .await;
    assert_eq!((error.disposition, error.class), (Disposition::Retry, "broker_down"));
    let error = Cluster::connect(&source).unwrap().partitions(&source.topics).unwrap_err();
    assert_eq!(error.disposition, Disposition::Retry);
    let limit = Duration::from_secs(3);
    let began = Instant::now();
    member.consumer.stop(limit);
    assert!(began.elapsed() < limit + Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn it_is_told_when_brokers_are_back() {
    let broker = rdkafka::mocking::MockCluster::new(1).unwrap();
    broker.create_topic("t", 1, 1).unwrap();
    let mut source = kafka::source(&["t"]);
    source.brokers = vec![broker.bootstrap_servers()];
    let mut member = Member::join(&source);
    member.assigned().await;
    broker.broker_down(1).unwrap();
    member
        .event("a problem", |event| match event {
            Event::Problem(error) if error.disposition == Disposition::Retry => Ok(()),
            other => Err(other),
        })
        .await;
    broker.broker_up(1).unwrap();
    member
        .event("recovery", |event| match event {
            Event::Recovered => Ok(()),
            // Another one on the way.
            Event::Problem(error) if error.disposition == Disposition::Retry => Err(Event::Statistics(Vec::new())),
            Event::Assigned { .. } | Event::Revoked { .. } => Err(Event::Statistics(Vec::new())),
            other => Err(other),
        })
        .await;
    member.stop();
}
