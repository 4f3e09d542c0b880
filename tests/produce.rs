//! `produce` against a real Kafka, and the embedded broker.

use std::collections::BTreeMap;

use tidegate::config::Start;
use tidegate::consume::Cluster;
use tidegate::embedded_broker::EmbeddedBroker;
use tidegate::offsets::TopicPartition;
use tidegate::produce::{Feeder, ProduceError, ProduceOptions, Produced, produce};

use crate::support::{kafka, services};

fn options(topic: &str, key: Option<&str>) -> ProduceOptions {
    ProduceOptions {
        brokers: vec![services::kafka()],
        topic: topic.to_owned(),
        key: key.map(str::to_owned),
        kafka: BTreeMap::new(),
    }
}

fn records_of(topic: &str, partitions: i32) -> i64 {
    let source = kafka::source(&[topic]);
    let partitions: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
    let logs = Cluster::connect(&source).unwrap().logs(&partitions).unwrap();
    logs.iter().map(|log| log.high).sum()
}

#[test]
fn every_line_is_delivered_and_counted() {
    let topic = kafka::topic(4);
    let lines: String = (0..50_000).map(|id| format!("{{\"id\": {id}}}\r\n")).collect();
    let mut told = Vec::new();
    let input = format!("{lines}\n{{\"id\": \"last\"}}");
    let produced = produce(input.as_bytes(), &options(&topic, Some("id")), |records, _| told.push(records)).unwrap();
    assert_eq!(produced.records, 50_001);
    assert!(produced.bytes > 50_000 * 10);
    assert!(told.is_sorted() && told.len() > 2, "{told:?}");
    assert_eq!(told.last(), Some(&50_001));
    assert_eq!(records_of(&topic, 4), 50_001);
}

#[test]
fn a_bad_line_is_named_and_what_went_before_is_counted() {
    let topic = kafka::topic(1);
    let input = "{\"id\":1}\n{\"id\":2}\n{\"name\":\"secret\"}\n{\"id\":4}\n";
    let error = produce(input.as_bytes(), &options(&topic, Some("id")), |_, _| {}).unwrap_err();
    assert!(matches!(error, ProduceError::Line { line: 3, confirmed: 2, .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(records_of(&topic, 1), 2);
}

#[test]
fn a_topic_that_does_not_exist_is_an_error() {
    let topic = kafka::unique("t");
    let error = produce(&b"{}\n"[..], &options(&topic, None), |_, _| {}).unwrap_err();
    assert!(error.to_string().contains(&topic), "{error}");
    assert!(matches!(error, ProduceError::Kafka { confirmed: 0, .. }), "{error:?}");
}

#[test]
fn an_empty_input_is_nothing() {
    let topic = kafka::topic(1);
    assert_eq!(produce(&b"\n\n"[..], &options(&topic, None), |_, _| {}).unwrap(), Produced::default());
}

#[test]
fn the_embedded_broker_takes_records_and_answers_questions() {
    let broker = EmbeddedBroker::start("demo", 2).unwrap();
    let brokers = [broker.address().to_owned()];
    let feeder = Feeder::connect(&brokers, "demo", &BTreeMap::new()).unwrap();
    for id in 0..1_000 {
        feeder.send(Some(format!("{id}").as_bytes()), Some(b"{}")).unwrap();
    }
    feeder.flush().unwrap();
    assert_eq!(feeder.confirmed().records, 1_000);
    let mut source = kafka::source(&["demo"]);
    source.brokers = brokers.to_vec();
    let cluster = Cluster::connect(&source).unwrap();
    let logs = cluster.logs(&cluster.partitions(&source.topics).unwrap()).unwrap();
    assert_eq!(logs.iter().map(|log| log.high).sum::<i64>(), 1_000);
    assert!(logs.iter().all(|log| log.high > 0), "keys spread over the partitions");
    assert_eq!(cluster.start_positions(Start::Earliest, &logs).unwrap(), [0, 0]);
}
