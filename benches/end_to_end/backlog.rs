//! How fast a backlog drains, and whether all of it arrived.

use std::time::{Duration, Instant};

use crate::support::daemon::Daemon;
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka;
use crate::{Mode, orders, pipeline_file};

/// Longer than the slowest database needs for the default number of rows.
const LIMIT: Duration = Duration::from_secs(600);

pub fn heading() {
    println!(
        "{:<10} {:<7} {:>9} {:>9} {:>9} {:>10} {:>9}  checked",
        "database", "mode", "seconds", "first row", "rows/s", "CPU s/M", "RSS MiB"
    );
}

/// One run: from the start of the process to the last row's commit, then the checks.
///
/// # Panics
/// Where a row is missing or changed, or the group's offset was ahead of the database.
pub async fn drain(kind: Kind, mode: Mode, topic: &str, rows: u64) {
    let database = TestDatabase::new(kind).await;
    database.execute(&orders::table(kind, mode)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (columns, table) = orders::sections(kind, mode);
    let file = pipeline_file(folder.path(), topic, &database.url, (&columns, &table));
    let group = format!("tidegate-{}", file.file_stem().and_then(|name| name.to_str()).expect("a name"));

    let started = Instant::now();
    let daemon = Daemon::start(&file);
    let mut first = None;
    loop {
        let stored = daemon.metric("tidegate_records_total", &["outcome=\"processed\""]) as u64;
        if stored > 0 && first.is_none() {
            first = Some(started.elapsed());
        }
        if stored >= rows {
            break;
        }
        assert!(started.elapsed() < LIMIT, "{stored} records after {LIMIT:?}:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let taken = started.elapsed();
    let (cpu, memory) = (cpu_seconds(&daemon), peak_memory(&daemon));
    check(&database, mode, &group, topic, rows).await;
    assert_eq!(daemon.stop(), 0);
    println!(
        "{:<10} {:<7} {:>9.2} {:>9.2} {:>9.0} {:>10.2} {:>9.0}  count, distinct, sums, group offsets",
        format!("{kind:?}"),
        mode.name(),
        taken.as_secs_f64(),
        first.unwrap_or(taken).as_secs_f64(),
        rows as f64 / taken.as_secs_f64(),
        cpu / rows as f64 * 1e6,
        memory as f64 / 1024.0 / 1024.0,
    );
}

async fn check(database: &TestDatabase, mode: Mode, group: &str, topic: &str, rows: u64) {
    let (quantities, cents) = orders::sums(rows);
    let number = async |sql: &str| database.number(sql).await as u64;
    let integer = if matches!(database.kind, Kind::MariaDb | Kind::MySql) { "signed" } else { "bigint" };
    let cents_sql = format!("SELECT cast(sum(round(price * 100)) AS {integer}) FROM orders");
    if mode == Mode::Group {
        assert_eq!(number(&format!("SELECT cast(sum(orders) AS {integer}) FROM orders")).await, rows);
    } else {
        assert_eq!(number("SELECT count(*) FROM orders").await, rows);
        assert_eq!(number("SELECT count(DISTINCT order_id) FROM orders").await, rows);
    }
    assert_eq!(number(&format!("SELECT cast(sum(quantity) AS {integer}) FROM orders")).await, quantities);
    assert_eq!(number(&cents_sql).await, cents);
    for partition in 0..4 {
        // The group's offset first: the database can only have moved on since.
        let offset = kafka::committed(group, topic, partition).unwrap_or(0);
        let sql = format!("SELECT next_offset FROM tidegate_positions WHERE part = {partition}");
        let stored = database.number(&sql).await;
        assert!(offset <= stored, "partition {partition}: Kafka says {offset}, the database {stored}");
    }
}

/// The most memory that the daemon ever had resident, in bytes.
fn peak_memory(daemon: &Daemon) -> u64 {
    let status = proc_file(daemon, "status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("kibibytes") * 1024
}

/// User and system time so far.
fn cpu_seconds(daemon: &Daemon) -> f64 {
    let stat = proc_file(daemon, "stat");
    // The process's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks: f64 = fields.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    // USER_HZ is 100 on Linux, whatever the kernel's own rate.
    ticks / 100.0
}

fn proc_file(daemon: &Daemon, name: &str) -> String {
    let pid = daemon.pid().as_raw_nonzero();
    std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the process is there")
}
