//! Questions to the cluster.

use super::*;

#[tokio::test]
async fn a_topic_made_again_has_another_id() {
    let topic = kafka::topic(1);
    let source = kafka::source(&[&topic]);
    let before = Cluster::connect(&source).unwrap().logs(&[at(&topic, 0)]).unwrap();
    kafka::delete(&topic);
    kafka::create(&topic, 1);
    let after = Cluster::connect(&source).unwrap().logs(&[at(&topic, 0)]).unwrap();
    assert_eq!(before[0].topic_id.len(), 22, "base64 of 16 bytes: {:?}", before[0].topic_id);
    assert_ne!(before[0].topic_id, after[0].topic_id);
    assert_eq!(before[0].cluster_id, after[0].cluster_id);
    assert!(!before[0].cluster_id.is_empty());
}

#[tokio::test]
async fn the_cluster_answers_where_to_start() {
    let topic = kafka::topic(2);
    kafka::produce(&topic, 0, 30);
    kafka::delete_records(&topic, 0, 10);
    let source = kafka::source(&[&topic]);
    let cluster = Cluster::connect(&source).unwrap();
    let partitions = cluster.partitions(&source.topics).unwrap();
    assert_eq!(partitions, [at(&topic, 0), at(&topic, 1)]);
    let logs = cluster.logs(&partitions).unwrap();
    assert_eq!((logs[0].low, logs[0].high, logs[1].low, logs[1].high), (10, 30, 0, 0));
    let start = |start| cluster.start_positions(start, &logs);
    assert_eq!(start(Start::Earliest).unwrap(), [10, 0]);
    assert_eq!(start(Start::Latest).unwrap(), [30, 0]);
    assert_eq!(start(Start::Time(0)).unwrap(), [10, 0]);
    assert_eq!(start(Start::Time(4_000_000_000_000)).unwrap(), [30, 0], "nothing is as late as that");
    let error = start(Start::Committed).unwrap_err();
    assert_eq!(error.disposition, Disposition::Block);
    assert!(error.message.contains(&source.group) && error.message.contains(&topic), "{error}");

    let mut member = Member::join(&source);
    member.assigned().await;
    member.consumer.commit(vec![(at(&topic, 0), 20), (at(&topic, 1), 0)]);
    kafka::wait_until("the commit", || kafka::committed(&source.group, &topic, 1) == Some(0));
    assert_eq!(start(Start::Committed).unwrap(), [20, 0]);
    kafka::delete_records(&topic, 0, 25);
    let logs = cluster.logs(&partitions).unwrap();
    assert_eq!(cluster.start_positions(Start::Committed, &logs).unwrap_err().disposition, Disposition::Block);
    member.stop();
}

#[tokio::test]
async fn topics_are_named_or_matched() {
    let prefix = kafka::unique("shop.orders");
    let (first, second) = (format!("{prefix}.a"), format!("{prefix}.b"));
    kafka::create(&first, 1);
    let mut source = kafka::source(&[]);
    source.topics = Topics::Pattern(format!("^{}\\.\\w$", prefix.replace('.', "\\.")));
    let cluster = Cluster::connect(&source).unwrap();
    assert_eq!(cluster.partitions(&source.topics).unwrap(), [at(&first, 0)]);
    let everything = cluster.partitions(&Topics::Pattern("^.*".to_owned())).unwrap();
    assert!(everything.iter().all(|partition| !partition.topic.starts_with("__")));
    let error = cluster.partitions(&Topics::List(vec![second.clone()])).unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Block, "unknown_topic"));
    assert!(error.message.contains(&second), "{error}");
    let error = cluster.partitions(&Topics::Pattern(format!("^{prefix}-none$"))).unwrap_err();
    assert_eq!(error.disposition, Disposition::Block);

    let mut member = Member::join(&source);
    assert_eq!(member.assigned().await.1, [at(&first, 0)]);
    member.stop();
}
