//! Static membership.

use super::*;

const CHILD: &str = "TIDEGATE_TEST_CHILD";

/// The source of a static member that is in the same group and slot in every process.
fn static_source(topic: &str, group: &str) -> Source {
    let mut source = kafka::source(&[topic]);
    source.group = group.to_owned();
    source.instance = Instance::Auto;
    source
}

/// Not a test of its own: the process that [`a_killed_static_member_is_back_at_once`] kills.
#[tokio::test]
#[ignore = "a part of another test"]
async fn child_member() {
    let given = std::env::var(CHILD).expect("a topic and a group");
    let (topic, group) = given.split_once(' ').expect("a topic and a group");
    let mut member = Member::join(&static_source(topic, group));
    let (_, partitions) = member.assigned().await;
    println!("\nassigned {}", partitions.len());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_static_member_is_back_at_once() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    let topic = kafka::topic(3);
    let group = kafka::unique("g");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "consume::instance::child_member", "--ignored", "--nocapture"])
        .env(CHILD, format!("{topic} {group}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let assigned = output.lines().map_while(Result::ok).find(|line| line.starts_with("assigned"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(assigned.as_deref(), Some("assigned 3"));
    let began = Instant::now();
    let mut member = Member::join(&static_source(&topic, &group));
    let (_, partitions) = member.assigned().await;
    assert_eq!(partitions.len(), 3);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(kafka::group_state(&group), ("Stable".to_owned(), 1), "the dead member is the same one");
    member.stop();
}

#[tokio::test]
async fn a_static_instance_is_taken_once_on_a_host() {
    let topic = kafka::topic(1);
    let mut source = kafka::source(&[&topic]);
    source.instance = Instance::Id(kafka::unique("i"));
    let mut first = Member::join(&source);
    first.assigned().await;
    let (sender, _events) = mpsc::unbounded_channel();
    let options = ConsumerOptions { pipeline: "p".to_owned(), prefetch_bytes: 0 };
    let error = Consumer::start(&source, options, sender).unwrap_err();
    assert_eq!((error.disposition, error.class), (Disposition::Block, "instance"));
    first.stop();
}

/// On another host no lock stands between them.
#[tokio::test]
async fn a_fenced_static_member_says_that_it_is_dead() {
    let topic = kafka::topic(1);
    let mut source = kafka::source(&[&topic]);
    let id = kafka::unique("i");
    source.instance = Instance::Id(id.clone());
    let mut member = Member::join(&source);
    member.assigned().await;
    let other = kafka::rival(&source.group, &id, &topic);
    let error = member
        .event("its end", |event| match event {
            Event::Fatal(error) => Ok(error),
            Event::Revoked { .. } | Event::Problem(_) => Err(Event::Statistics(Vec::new())),
            other => Err(other),
        })
        .await;
    assert_eq!(error.class, "fenced");
    assert!(error.message.contains(&source.group), "{error}");
    drop(other);
    member.stop();
}
