//! A load on a topic, with the ledger of what was produced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::scene::{Event, Ledger, PARTITIONS};

/// Records that are produced until it is told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    thread: JoinHandle<()>,
}

impl Load {
    pub fn start(brokers: String, topic: String, make: fn(i32, i64) -> Event) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ledger = Arc::new(Mutex::new(vec![Vec::new(); PARTITIONS as usize]));
        let thread = std::thread::spawn({
            let (stop, ledger) = (stop.clone(), ledger.clone());
            move || produce(&brokers, &topic, make, &stop, &ledger)
        });
        Self { stop, ledger, thread }
    }

    /// What has been sent so far; it may not have arrived.
    pub fn so_far(&self) -> Ledger {
        self.ledger.lock().unwrap().clone()
    }

    /// Stops it. Everything is in Kafka then.
    pub fn finish(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the load is delivered");
        Arc::into_inner(self.ledger).expect("the thread has ended").into_inner().unwrap()
    }
}

/// About 800 records a second, evenly over the partitions. Idempotent, so that a record's number is its offset
/// whatever happens to the broker.
fn produce(brokers: &str, topic: &str, make: fn(i32, i64) -> Event, stop: &AtomicBool, ledger: &Mutex<Ledger>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "300000")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Error)
        .create()
        .expect("a producer");
    let mut seq = 0;
    while !stop.load(Ordering::Relaxed) {
        for partition in 0..PARTITIONS {
            for seq in seq..seq + 10 {
                let event = make(partition, seq);
                send(&producer, topic, partition, &event);
                ledger.lock().unwrap()[partition as usize].push(event);
            }
        }
        seq += 10;
        producer.poll(Duration::from_millis(50));
        std::thread::sleep(Duration::from_millis(20));
    }
    producer.flush(Duration::from_secs(120)).expect("records to be delivered");
    for (partition, log) in ledger.lock().unwrap().iter().enumerate() {
        let (_, high) = producer
            .client()
            .fetch_watermarks(topic, partition as i32, Duration::from_secs(60))
            .expect("the broker answers");
        assert_eq!(high, log.len() as i64, "the ledger is the log");
    }
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, event: &Event) {
    let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition).key(&event.key);
    message.payload = event.value.as_deref();
    let headers = OwnedHeaders::new_with_capacity(event.headers.len());
    let add = |all: OwnedHeaders, (key, value): &(String, Option<Vec<u8>>)| {
        all.insert(Header { key, value: value.as_deref() })
    };
    message.headers = Some(event.headers.iter().fold(headers, add));
    producer.send(message).map_err(|(error, _)| error).expect("room in the producer");
}
