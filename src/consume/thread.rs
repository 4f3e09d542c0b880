//! The consumer's thread: commands in, records and events out, and never away from the queue for long.

use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use tokio::sync::mpsc;

use super::queue::{Event as Polled, EventError, EventKind, Queue, Record};
use super::rebalance::{Assignment, Client};
use super::statistics::Statistics;
use super::troubles::{Scope, Troubles};
use super::unassigned::Rejoin;
use super::{Command, ConsumeError, DRAIN_LIMIT, Event};
use crate::inbox::Inbox;
use crate::kafka;
use crate::kafka::errors::{self, Verdict};
use crate::offsets::{Interval, TopicPartition};
use crate::records::Records;

/// A command waits at most this long for the thread. A record wakes it at once.
const IDLE: Duration = Duration::from_millis(50);
/// The same while an inbox is full, so that fetching goes on soon after it was emptied.
const STALLED: Duration = Duration::from_millis(5);
/// A full inbox is waited for so long before fetching for it stops, which throws the prefetch away.
const ROOM_LIMIT: Duration = Duration::from_millis(200);
/// The records that one lock of an inbox takes, and with it how far an inbox may pass its limits.
const RUN_RECORDS: usize = 500;
const RUN_BYTES: usize = 1 << 20;
/// Group offsets are a mirror: writing them more often gives nobody more.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
/// A group coordinator that does not answer within it will not do so in time for the rebalance either.
const COMMIT_LIMIT: Duration = Duration::from_secs(5);

/// Stands for the topics that a pattern ought to match.
const ANY_TOPIC: &str = "";

pub(super) struct Worker {
    pub(super) commands: sync_mpsc::Receiver<Command>,
    pub(super) events: mpsc::UnboundedSender<Event>,
    /// For messages.
    pub(super) group: String,
    assignment: Assignment,
    troubles: Troubles,
    committed_at: Option<Instant>,
    rejoin: Option<Rejoin>,
    is_stalled: bool,
    is_dead: bool,
}

/// The pipeline wants the thread to end, or has gone.
struct Ended;

impl Worker {
    pub(super) fn new(
        commands: sync_mpsc::Receiver<Command>,
        events: mpsc::UnboundedSender<Event>,
        group: String,
    ) -> Self {
        Self {
            commands,
            events,
            group,
            assignment: Assignment::new(),
            troubles: Troubles::default(),
            committed_at: None,
            rejoin: None,
            is_stalled: false,
            is_dead: false,
        }
    }

    /// Works until it is told to stop; then hands over what is left to commit.
    pub(super) fn run(&mut self, client: &Client, queue: &Queue<'_>) {
        while self.obey(client).is_ok() {
            self.tick(client, queue);
            let wait = if self.is_stalled { STALLED } else { IDLE };
            let mut polled = queue.poll(wait);
            while let Some(event) = polled.take() {
                polled = self.handle(client, queue, event);
            }
        }
        if let Some(list) = self.assignment.take_last()
            && let Err(code) = queue.commit_and_wait(&list, COMMIT_LIMIT)
        {
            tracing::warn!(group = self.group, cause = %code, "the last positions were not stored in the group's offsets");
        }
    }

    fn obey(&mut self, client: &Client) -> Result<(), Ended> {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Read { generation, leases }) => {
                    let result = self.assignment.read(client, generation, leases);
                    self.check(result, "partitions could not be read");
                }
                Ok(Command::Forget(partitions)) => {
                    let result = self.assignment.forget(client, &partitions);
                    self.check(result, "partitions could not be given up");
                }
                Ok(Command::Commit(positions)) => self.assignment.commit_later(positions),
                Ok(Command::Pause(paused)) => self.assignment.pause(client, paused),
                Ok(Command::Subscribe(topics)) => self.subscribe(client, topics),
                Ok(Command::Unassigned(partitions)) => self.tell(Event::Unassigned(partitions)),
                Ok(Command::Rejoin) if self.rejoin.is_none() && !self.is_dead => {
                    tracing::warn!(
                        group = self.group,
                        "the group is left and joined again, so that it gives the partitions without an owner to somebody"
                    );
                    self.rejoin = Rejoin::begin(client);
                }
                Ok(Command::Rejoin) => {}
                Ok(Command::Problem(error)) => {
                    let is_unmatched = error.class == "unknown_topic";
                    let scope = if is_unmatched { Scope::Topic(ANY_TOPIC.to_owned()) } else { Scope::Brokers };
                    self.trouble(scope, error);
                }
                Ok(Command::Stop) | Err(sync_mpsc::TryRecvError::Disconnected) => return Err(Ended),
                Err(sync_mpsc::TryRecvError::Empty) => break,
            }
        }
        if self.events.is_closed() { Err(Ended) } else { Ok(()) }
    }

    fn subscribe(&mut self, client: &Client, topics: Vec<String>) {
        if let Some(rejoin) = &mut self.rejoin {
            rejoin.topics = topics;
        } else {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            let result = client.subscribe(&topics);
            self.check(result, "the topics could not be subscribed to");
        }
        let has_passed = self.troubles.topic_is_there(ANY_TOPIC);
        self.recovered(has_passed);
    }

    /// What is due by time.
    fn tick(&mut self, client: &Client, queue: &Queue<'_>) {
        if self.is_dead {
            return;
        }
        self.is_stalled = self.assignment.resume_stalled(client);
        let result = self.assignment.try_again(client);
        self.check(result, "partitions could not be read again");
        if let Some(result) = self.rejoin.as_ref().map(|rejoin| rejoin.go_on(client)) {
            if matches!(result, Ok(true)) {
                self.rejoin = None;
            }
            self.check(result.map(drop), "the group could not be joined again");
        }
        if self.committed_at.is_none_or(|at| at.elapsed() >= COMMIT_INTERVAL)
            && let Some(list) = self.assignment.take_pending(None)
        {
            self.committed_at = Some(Instant::now());
            if let Err(code) = queue.commit(&list) {
                tracing::warn!(group = self.group, cause = %code, "positions could not be sent to the group");
            }
        }
    }

    /// Returns an event that came up while records were taken.
    fn handle<'q>(&mut self, client: &Client, queue: &'q Queue<'_>, event: Polled<'q>) -> Option<Polled<'q>> {
        if event.record().is_some() {
            return self.deliver(client, queue, event);
        }
        match event.read() {
            EventKind::EndOfPartition { partition, offset } => self.end_of_partition(&partition, offset),
            EventKind::Error(error) => self.failed(client, error),
            EventKind::Assign(partitions) => self.assigned(client, partitions),
            EventKind::Revoke(partitions) => self.revoked(client, queue, partitions),
            EventKind::Committed { code, positions } => self.committed(code, &positions),
            EventKind::Log { level, facility, text } => kafka::log(level, &facility, &text),
            EventKind::Statistics(json) => self.statistics(json),
            EventKind::Other => {}
        }
        None
    }

    fn tell(&self, event: Event) {
        // A pipeline that has gone is noticed in `obey`.
        let _ = self.events.send(event);
    }

    /// Moves a record, and what is there behind it, to the inboxes.
    fn deliver<'q>(&mut self, client: &Client, queue: &'q Queue<'_>, first: Polled<'q>) -> Option<Polled<'q>> {
        let mut room = Room { records: RUN_RECORDS, bytes: RUN_BYTES };
        let mut next = Some(first);
        while let Some(event) = next.take() {
            let Some(record) = event.record() else { return Some(event) };
            match self.assignment.reading(record.topic(), record.partition()) {
                None => {
                    // A leftover of a partition that is not read any more.
                    next = room.take(&record).then(|| queue.poll(Duration::ZERO)).flatten();
                }
                Some(reading) => {
                    let inbox = reading.inbox.clone();
                    self.make_room(client, &inbox);
                    next = inbox.fill(|records| self.append(client, queue, &inbox, records, event, &mut room));
                }
            }
        }
        None
    }

    /// A full inbox is waited for a little; a record that was polled already goes in whatever comes of it.
    fn make_room(&mut self, client: &Client, inbox: &Arc<Inbox>) {
        if inbox.is_full() {
            inbox.wait_for_room(ROOM_LIMIT);
            if inbox.is_full() {
                self.assignment.stall(client, inbox);
                self.is_stalled = true;
            }
        }
    }

    /// Appends records as long as they are there and for the same inbox. Returns the event that is not such a one.
    fn append<'q>(
        &mut self,
        client: &Client,
        queue: &'q Queue<'_>,
        inbox: &Arc<Inbox>,
        records: &mut Records,
        first: Polled<'q>,
        room: &mut Room,
    ) -> Option<Polled<'q>> {
        let mut event = first;
        loop {
            let Some(record) = event.record() else { return Some(event) };
            if let Some(reading) = self.assignment.reading(record.topic(), record.partition()) {
                if !Arc::ptr_eq(&reading.inbox, inbox) {
                    return Some(event);
                }
                if record.offset() >= reading.position {
                    let pushed = records.push(
                        &reading.lease,
                        reading.position,
                        record.offset(),
                        record.timestamp(),
                        record.key(),
                        record.value(),
                        record.headers(),
                    );
                    match pushed {
                        Ok(()) => reading.position = record.offset() + 1,
                        Err(broken) => {
                            let partition = reading.lease.partition().clone();
                            tracing::error!(%broken, "the partition is claimed again");
                            self.lost(client, vec![partition]);
                        }
                    }
                }
            }
            if !self.troubles.is_empty() {
                let has_passed = self.troubles.partition_is_read(record.topic(), record.partition());
                self.recovered(has_passed);
            }
            if !room.take(&record) {
                return None;
            }
            drop(event);
            event = queue.poll(Duration::ZERO)?;
        }
    }

    /// The reader is at the end: what lies between its last record and the end carries none.
    fn end_of_partition(&mut self, partition: &TopicPartition, offset: i64) {
        let has_passed = self.troubles.partition_is_read(&partition.topic, partition.partition);
        self.recovered(has_passed);
        let Some(reading) = self.assignment.reading(&partition.topic, partition.partition) else { return };
        if offset <= reading.position {
            return;
        }
        let interval = Interval::new(reading.position, offset);
        // Under the inbox's lock, as with records: after a purge nothing of an ended lease comes in any more.
        let skip = |records: &mut Records| match reading.lease.is_alive() {
            true => records.skip(&reading.lease, interval),
            false => Ok(()),
        };
        match reading.inbox.clone().fill(skip) {
            Ok(()) => reading.position = offset,
            // The next record will say so too, and be handled there.
            Err(broken) => tracing::error!(%broken, "the end of the partition does not join its records"),
        }
    }

    fn assigned(&mut self, client: &Client, partitions: Vec<TopicPartition>) {
        let result = self.assignment.given(client, &partitions);
        let mut has_passed = self.troubles.group_answered();
        for partition in &partitions {
            has_passed |= self.troubles.topic_is_there(&partition.topic);
        }
        self.recovered(has_passed);
        match result {
            Ok(generation) => self.tell(Event::Assigned { generation, partitions }),
            Err(_) => self.check(result.map(drop), "the group's assignment could not be taken"),
        }
    }

    /// Gives the pipeline time to finish, stores its positions, then lets go.
    fn revoked(&mut self, client: &Client, queue: &Queue<'_>, partitions: Vec<TopicPartition>) {
        let is_lost = client.assignment_lost();
        let ours: Vec<_> = partitions.iter().filter(|partition| self.assignment.owns(partition)).cloned().collect();
        if !ours.is_empty() {
            let positions = self.drain(ours.clone());
            if !is_lost {
                self.assignment.commit_later(positions);
                if let Some(list) = self.assignment.take_pending(Some(&ours))
                    && let Err(code) = queue.commit_and_wait(&list, COMMIT_LIMIT)
                {
                    tracing::warn!(group = self.group, cause = %code, "the positions of revoked partitions were not stored in the group's offsets");
                }
            }
        }
        let result = self.assignment.taken(client, &partitions);
        self.check(result, "revoked partitions could not be given up");
        for partition in &partitions {
            let has_passed = self.troubles.partition_is_gone(partition);
            self.recovered(has_passed);
        }
    }

    fn drain(&self, partitions: Vec<TopicPartition>) -> Vec<(TopicPartition, i64)> {
        let (drained, answer) = sync_mpsc::sync_channel(1);
        self.tell(Event::Revoked { partitions, drained });
        match answer.recv_timeout(DRAIN_LIMIT) {
            Ok(positions) => positions,
            Err(sync_mpsc::RecvTimeoutError::Disconnected) => Vec::new(),
            Err(sync_mpsc::RecvTimeoutError::Timeout) => {
                tracing::warn!(
                    group = self.group,
                    "what was read of revoked partitions was not finished in time; their next owner reads it again"
                );
                Vec::new()
            }
        }
    }

    fn committed(&mut self, code: Option<RDKafkaErrorCode>, positions: &[(TopicPartition, i64)]) {
        // `NoOffset`: there was nothing to store.
        let Some(code) = code.filter(|code| *code != RDKafkaErrorCode::NoOffset) else {
            let has_passed = self.troubles.group_answered();
            return self.recovered(has_passed);
        };
        self.assignment.not_committed(positions);
        if errors::judge(code).1 == "rebalance" {
            return tracing::debug!(group = self.group, cause = %code, "positions are stored after the rebalance");
        }
        let what = format!("positions could not be stored in the offsets of group {}", self.group);
        self.trouble(Scope::Group, errors::error(code, what));
    }

    fn failed(&mut self, client: &Client, error: EventError) {
        if error.is_fatal || error.code == RDKafkaErrorCode::Fatal {
            return self.died(client, &error);
        }
        let (verdict, class, _) = errors::judge(error.code);
        match (verdict, error.at) {
            (Verdict::Fatal, _) => {
                self.is_dead = true;
                self.tell(Event::Fatal(errors::error(error.code, format!("group {}: {}", self.group, error.reason))));
            }
            (Verdict::PositionLost, Some((partition, _))) => self.lost(client, vec![partition]),
            (Verdict::PositionLost, None) => self.lost(client, self.assignment.partitions()),
            (Verdict::Damaged, Some((partition, offset))) => {
                let result = self.assignment.set_aside(client, &partition);
                self.check(result, "a partition could not be set aside");
                let what = format!("{partition} cannot be read at offset {offset} ({})", error.reason);
                self.trouble(Scope::Partition(partition), errors::error(error.code, what));
            }
            (_, at) => {
                let scope = Scope::of(class, &error.reason, at.as_ref().map(|(partition, _)| partition));
                let what = match &scope {
                    Scope::Topic(topic) => format!("topic {topic} ({})", error.reason),
                    Scope::Partition(partition) => format!("{partition} ({})", error.reason),
                    Scope::Brokers => format!("the Kafka brokers ({})", error.reason),
                    Scope::Group => format!("group {} ({})", self.group, error.reason),
                };
                self.trouble(scope, errors::error(error.code, what));
            }
        }
    }

    fn died(&mut self, client: &Client, error: &EventError) {
        if self.is_dead {
            return;
        }
        self.is_dead = true;
        let (code, reason) = client.client().fatal_error().unwrap_or((error.code, error.reason.clone()));
        // A fatal code of the protocol has its own words; the wrapper's would hide them.
        let code = if errors::judge(code).0 == Verdict::Fatal { code } else { RDKafkaErrorCode::Fatal };
        self.tell(Event::Fatal(errors::error(code, format!("group {}: {reason}", self.group))));
    }

    fn lost(&mut self, client: &Client, mut partitions: Vec<TopicPartition>) {
        partitions.retain(|partition| self.assignment.reading(&partition.topic, partition.partition).is_some());
        if partitions.is_empty() {
            return;
        }
        let result = self.assignment.forget(client, &partitions);
        self.check(result, "partitions could not be given up");
        self.tell(Event::PositionLost(partitions));
    }

    fn trouble(&mut self, scope: Scope, error: ConsumeError) {
        if self.troubles.note(scope, &error) {
            tracing::warn!(group = self.group, class = error.class, "{error}");
            let worst = self.troubles.worst().cloned().unwrap_or(error);
            self.tell(Event::Problem(worst));
        }
    }

    fn recovered(&self, has_passed: bool) {
        if has_passed {
            tracing::info!(group = self.group, "Kafka works again");
            self.tell(Event::Recovered);
        }
    }

    fn check(&mut self, result: KafkaResult<()>, what: &'static str) {
        if let Err(cause) = result
            && !self.is_dead
        {
            self.trouble(Scope::Group, errors::of_client(&cause, what));
        }
    }

    fn statistics(&mut self, json: &[u8]) {
        let Some(statistics) = Statistics::parse(json) else {
            return tracing::debug!("librdkafka's statistics have another form than expected");
        };
        if statistics.is_a_broker_up() {
            let has_passed = self.troubles.brokers_are_up();
            self.recovered(has_passed);
        }
        self.tell(Event::Statistics(statistics.of(self.assignment.partitions())));
    }
}

/// What a run may still take.
struct Room {
    records: usize,
    bytes: usize,
}

impl Room {
    /// Returns whether there is room for more.
    fn take(&mut self, record: &Record<'_>) -> bool {
        let bytes = record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.records > 0 && self.bytes > 0
    }
}
