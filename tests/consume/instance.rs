//! Static membership.

use super::*;

const CHILD: &str = "TIDEGATE_TEST_CHILD";

/// The source of a static member that is in the same group and the first free slot in every process.
pub fn static_source(topic: &str, group: &str, strategy: &str) -> Source {
    let mut source = kafka::with(kafka::source(&[topic]), "partition.assignment.strategy", strategy);
    source.group = group.to_owned();
    source.instance = Instance::Auto;
    source
}

/// Not a test of its own: a member in a process of its own, which says what the group does and answers nothing.
#[tokio::test]
#[ignore = "a part of other tests"]
async fn child_member() {
    let given = std::env::var(CHILD).expect("what to join");
    let [topic, group, strategy] = given.split(' ').collect::<Vec<_>>().try_into().expect("what to join");
    let mut member = Member::join(&static_source(topic, group, strategy));
    let mut unanswered = Vec::new();
    while let Some(event) = member.events.recv().await {
        match event {
            Event::Assigned { partitions, .. } => println!("\nassigned {}", partitions.len()),
            Event::Revoked { partitions, drained } => {
                println!("\nrevoked {}", partitions.len());
                unanswered.push(drained);
            }
            _ => {}
        }
    }
}

/// A static member that can be killed.
pub struct ChildMember {
    process: std::process::Child,
    output: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl ChildMember {
    pub fn join(topic: &str, group: &str, strategy: &str) -> Self {
        use std::io::{BufRead as _, BufReader};
        use std::process::{Command, Stdio};
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "consume::instance::child_member", "--ignored", "--nocapture"])
            .env(CHILD, format!("{topic} {group} {strategy}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, output }
    }

    /// Waits until it has said so.
    pub fn says(&mut self, what: &str) {
        let heard: Vec<_> = self.output.by_ref().map_while(Result::ok).take_while(|line| line != what).collect();
        let is_alive = self.process.try_wait().unwrap().is_none();
        assert!(is_alive, "{what:?} was awaited, and it ended after {heard:?}");
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn a_killed_static_member_is_back_at_once() {
    let topic = kafka::topic(3);
    let group = kafka::unique("g");
    let mut child = ChildMember::join(&topic, &group, "cooperative-sticky");
    child.says("assigned 3");
    child.kill();
    let began = Instant::now();
    let mut member = Member::join(&static_source(&topic, &group, "cooperative-sticky"));
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
