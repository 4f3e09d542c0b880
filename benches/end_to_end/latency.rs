//! The time from produce until another connection sees the row, at a steady rate.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sqlx::{Connection as _, PgConnection};

use crate::pipeline_file;
use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{Kind, TestDatabase};
use crate::support::{kafka, services};

/// Long enough for a p99 of the slowest rate.
const SECONDS: u64 = 20;
/// Not measured: connections open, statements are prepared.
const WARM_UP: u64 = 3;

/// Into PostgreSQL over TCP, with the default settings.
pub async fn measure(rate: u64) {
    let topic = kafka::topic(1);
    let database = TestDatabase::new(Kind::Postgres).await;
    database.execute("CREATE TABLE events (seq bigint PRIMARY KEY, note text)").await;
    let folder = tempfile::tempdir().expect("a folder");
    let section = "[[table]]\nname = \"events\"\nmode = \"append\"\n";
    let file = pipeline_file(folder.path(), &topic, &database.url, ("", section));
    let daemon = Daemon::start(&file);
    eventually("ready", Duration::from_secs(60), || async {
        daemon.get("/readyz").is_some_and(|(code, _)| code == 200)
    })
    .await;

    let (sent_sender, sent) = mpsc::channel();
    let producer = std::thread::spawn({
        let topic = topic.clone();
        move || send(&topic, rate, &sent_sender)
    });
    let total = rate * SECONDS;
    let mut reader = PgConnection::connect(&database.url).await.expect("PostgreSQL answers");
    let (mut seen, mut times, mut latencies) = (0, Vec::new(), Vec::new());
    while seen < total {
        let highest: Option<i64> =
            sqlx::query_scalar("SELECT max(seq) FROM events").fetch_one(&mut reader).await.expect("a row");
        let now = Instant::now();
        times.extend(sent.try_iter());
        let visible = highest.map_or(0, |seq| seq as u64 + 1);
        for seq in seen..visible {
            let sent: Instant = times[seq as usize];
            if seq >= rate * WARM_UP {
                latencies.push(now - sent);
            }
        }
        seen = visible;
        // As fine as the numbers are read, and little load.
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    producer.join().expect("the producer ended");
    assert_eq!(daemon.stop(), 0);
    kafka::delete(&topic);
    latencies.sort();
    let quantile = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    println!(
        "\nproduce to visible in PostgreSQL, {rate} messages/s, default settings: p50 {:.1} ms, p90 {:.1} ms, \
         p99 {:.1} ms, max {:.1} ms ({} messages)",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0),
        latencies.len()
    );
}

fn send(topic: &str, rate: u64, sent: &mpsc::Sender<Instant>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", services::kafka())
        .set("linger.ms", "0")
        .create()
        .expect("a producer");
    let started = Instant::now();
    for seq in 0..rate * SECONDS {
        let due = started + Duration::from_secs_f64(seq as f64 / rate as f64);
        while Instant::now() < due {
            producer.poll((due - Instant::now()).min(Duration::from_millis(1)));
        }
        let value = format!("{{\"seq\":{seq},\"note\":\"a message\"}}");
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).payload(&value);
        sent.send(Instant::now()).expect("the reader lives");
        producer.send(record).map_err(|(error, _)| error).expect("room in the producer");
    }
    producer.flush(Duration::from_secs(60)).expect("records to be delivered");
}
