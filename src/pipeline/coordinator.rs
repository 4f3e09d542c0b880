//! One pipeline at work: the group's assignments become leases, leases get lanes, receipts move the group's offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc as sync_mpsc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::commit::GroupOffsets;
use crate::config::Pipeline;
use crate::consume::{ConsumeError, Consumer, ConsumerOptions, Event};
use crate::events;
use crate::inbox::MemoryBudget;
use crate::lease::Lease;
use crate::offsets::TopicPartition;
use crate::retry::Disposition;
use crate::status::{State, Status};
use crate::write::{self, Prepared};

use super::claims::{Claimer, Granted, Wanted};
use super::identity::{self, Identities};
use super::lane::{Lane, LaneContext, Report};
use super::lookups::{self, Lookups};
use super::outlet::{self, Outlet};
use super::ownership::{self, Held};
use super::preparing;
use super::queries::Queries;
use super::retention;
use super::stages::Stages;
use super::turned_true;

/// librdkafka's prefetch per consumer. 8 MiB gave the same rate as 64 MiB, and keeps a draining backlog below 150 MB.
const PREFETCH_BYTES: usize = 8 << 20;

/// How long a revoked partition's batch in flight is waited for. Shorter than the consumer's own limit for the answer.
const REVOKE_FLUSH: Duration = Duration::from_secs(8);

/// The first wait before a fenced partition is claimed again: longer than a heartbeat, so that a member which the
/// group has dropped learns it first and does not claim at all.
const RECLAIM_DELAY: Duration = Duration::from_secs(2);

/// Fenced so often in a row, the fault is not a rebalance: somebody else uses the same pipeline name.
const FENCED_TOO_OFTEN: u32 = 5;

/// Why a pipeline ended by itself.
#[derive(Debug)]
pub enum Failure {
    /// The database answered that the configuration is wrong, before anything was read.
    Configuration(String),
    /// The Kafka client cannot go on.
    Fatal(ConsumeError),
    /// A defect of ours: a task panicked.
    Panicked,
}

/// What a pipeline is given to run with.
#[derive(Clone)]
pub struct Setting {
    pub pipeline: Arc<Pipeline>,
    pub status: Arc<Status>,
    pub budget: Arc<MemoryBudget>,
    /// Turns true when the pipeline is to drain and end.
    pub stop: watch::Receiver<bool>,
    /// How long draining may take.
    pub drain_limit: Duration,
}

/// Runs one pipeline until it is stopped (`Ok(true)`: drained; `Ok(false)`: the drain limit passed) or cannot go on.
pub async fn run(setting: Setting) -> Result<bool, Failure> {
    let (event_sender, events) = mpsc::unbounded_channel();
    let options = ConsumerOptions { pipeline: setting.pipeline.name.clone(), prefetch_bytes: PREFETCH_BYTES };
    let status = setting.status.clone();
    let Some(setting) = preparing::completed(setting).await? else {
        status.enter(State::Stopped);
        return Ok(true);
    };
    let queries = Queries::plan(&setting.pipeline).map_err(|problems| Failure::Configuration(problems.to_string()))?;
    let consumer = Consumer::start(&setting.pipeline.source, options, event_sender).map_err(Failure::Fatal)?;
    events::unassigned(&setting.pipeline.name, &[]);
    Coordinator::new(setting, queries, consumer).run(events).await
}

struct Coordinator {
    setting: Setting,
    queries: Queries,
    outlet: Outlet,
    consumer: Consumer,
    lanes: Vec<Lane>,
    max_lanes: usize,
    prepared: Option<(Prepared, Arc<Stages>, Arc<Lookups>)>,
    is_prepared: watch::Sender<bool>,
    ending: watch::Sender<bool>,
    wanted: Arc<Wanted>,
    identities: Arc<Identities>,
    held: Arc<Held>,
    /// Granted partitions, their lease and the index of their lane.
    leases: BTreeMap<TopicPartition, (Arc<Lease>, usize)>,
    /// What the group says is ours.
    assigned: BTreeSet<TopicPartition>,
    generation: u64,
    group_offsets: GroupOffsets,
    fenced: BTreeMap<TopicPartition, u32>,
    reclaims: Vec<(Instant, TopicPartition)>,
    tasks: JoinSet<()>,
    report_sender: mpsc::UnboundedSender<Report>,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Coordinator {
    fn new(setting: Setting, queries: Queries, consumer: Consumer) -> Self {
        let outlet = Outlet::new(&setting.pipeline, queries.outputs(), consumer.member());
        let max_lanes = outlet::max_lanes(&setting.pipeline);
        let (report_sender, reports) = mpsc::unbounded_channel();
        Self {
            setting,
            queries,
            outlet,
            consumer,
            lanes: Vec::new(),
            max_lanes,
            prepared: None,
            is_prepared: watch::Sender::new(false),
            ending: watch::Sender::new(false),
            wanted: Arc::default(),
            identities: Arc::default(),
            held: Arc::default(),
            leases: BTreeMap::new(),
            assigned: BTreeSet::new(),
            generation: 0,
            group_offsets: GroupOffsets::default(),
            fenced: BTreeMap::new(),
            reclaims: Vec::new(),
            tasks: JoinSet::new(),
            report_sender,
            reports,
        }
    }

    fn name(&self) -> &str {
        &self.setting.pipeline.name
    }

    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) -> Result<bool, Failure> {
        let (prepared_sender, mut prepared) = oneshot::channel();
        let pipeline = self.setting.pipeline.clone();
        self.tasks.spawn(preparing::prepare(
            self.outlet.clone(),
            pipeline,
            self.setting.status.clone(),
            prepared_sender,
        ));
        let (granted_sender, mut granted) = mpsc::unbounded_channel();
        self.tasks.spawn(self.claimer(granted_sender).run());
        let (others_sender, mut others) = mpsc::unbounded_channel();
        let source = self.setting.pipeline.source.clone();
        self.tasks.spawn(identity::watch(source, self.identities.clone(), others_sender));
        self.watch_ownership();
        let mut stop = self.setting.stop.clone();
        loop {
            tokio::select! {
                () = turned_true(&mut stop) => return Ok(self.drain(&mut events).await),
                outcome = &mut prepared, if self.prepared.is_none() => match outcome {
                    Ok(prepared) => {
                        if let Err(message) = prepared.and_then(|prepared| self.begin(prepared)) {
                            self.consumer.stop(Duration::from_secs(1));
                            return Err(Failure::Configuration(message));
                        }
                    }
                    Err(_) => return Err(Failure::Panicked),
                },
                Some(event) = events.recv() => self.handle(event).await?,
                Some(granted) = granted.recv() => self.read(granted),
                Some(report) = self.reports.recv() => self.account(report),
                Some(partitions) = others.recv() => self.claim_again(partitions),
                () = next_reclaim(&self.reclaims) => self.reclaim(),
                Some(Err(_)) = self.tasks.join_next() => return Err(Failure::Panicked),
            }
        }
    }

    /// At-least-once has no fence, and so no owner; of a pipeline without a database the group itself is the owner.
    fn watch_ownership(&mut self) {
        if let Some(sink) = self.setting.pipeline.sink.keeper() {
            let ledger = write::ledger(&self.setting.pipeline, sink);
            let reports = self.report_sender.clone();
            let name = self.name().to_owned();
            let tell = move |lost: Vec<TopicPartition>| {
                events::fenced(&name, &lost);
                reports.send(Report::Fenced(lost)).is_ok()
            };
            self.tasks.spawn(ownership::watch(ledger, self.held.clone(), tell));
        }
    }

    fn claimer(&self, granted: mpsc::UnboundedSender<Granted>) -> Claimer {
        Claimer {
            pipeline: self.setting.pipeline.clone(),
            outlet: self.outlet.clone(),
            status: self.setting.status.clone(),
            wanted: self.wanted.clone(),
            identities: self.identities.clone(),
            owner: owner(),
            granted,
            prepared: self.is_prepared.subscribe(),
        }
    }

    /// The database is ready. Fails where the statements do not fit the tables.
    fn begin(&mut self, prepared: Prepared) -> Result<(), String> {
        let stages = self.queries.compile(&self.setting.pipeline, &prepared);
        let stages = stages.map_err(|problems| problems.join("; "))?;
        let lookups = self.lookups(&stages).map_err(|problems| problems.join("; "))?;
        for warning in &prepared.warnings {
            events::warning(self.name(), warning);
        }
        if let Outlet::Database(destination) = &self.outlet
            && retention::is_wanted(&prepared)
        {
            let (name, destination) = (self.name().to_owned(), destination.clone());
            self.tasks.spawn(retention::keep(name, destination, prepared.clone(), owner()));
        }
        self.prepared = Some((prepared, Arc::new(stages), Arc::new(lookups)));
        if self.setting.status.clear(super::PART) {
            events::recovered(self.name(), super::PART);
        }
        self.setting.status.enter(State::Running);
        self.is_prepared.send_replace(true);
        Ok(())
    }

    /// What is looked up, with a connection of its own.
    fn lookups(&self, stages: &Stages) -> Result<Lookups, Vec<String>> {
        let (pipeline, used) = (&self.setting.pipeline, &stages.looked_up);
        let reader = match &self.outlet {
            Outlet::Database(destination) => Some(destination.lookups(lookups::tables(pipeline, used))),
            Outlet::Kafka(_) => None,
        };
        Lookups::open(pipeline, used, self.setting.status.clone(), reader)
    }

    async fn handle(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Assigned { generation, partitions } => {
                events::assigned(self.name(), &partitions);
                self.generation = generation;
                self.assigned.extend(partitions.iter().cloned());
                self.fenced.retain(|partition, _| !partitions.contains(partition));
                self.wanted.add(partitions, generation);
            }
            Event::Revoked { partitions, drained } => self.revoke(partitions, &drained).await,
            Event::Problem(problem) => self.report_kafka(Some(problem)),
            Event::Recovered => self.report_kafka(None),
            Event::Fatal(error) => return Err(Failure::Fatal(error)),
            Event::PositionLost(partitions) => self.claim_again(partitions),
            Event::Unassigned(partitions) => self.report_unassigned(&partitions),
            Event::Statistics(statistics) => {
                events::buffered(self.setting.budget.used());
                for partition in statistics {
                    let position = self.leases.get(&partition.partition).map(|(lease, _)| lease.start());
                    let position = self.group_offsets.get(&partition.partition).or(position);
                    events::lag(self.name(), &partition, position);
                }
            }
        }
        Ok(())
    }

    fn report_kafka(&self, problem: Option<ConsumeError>) {
        const PART: &str = "kafka";
        let status = &self.setting.status;
        match problem {
            Some(problem) if status.report(PART, problem.disposition, problem.message.clone()) => {
                events::kafka_problem(self.name(), &problem);
            }
            None if status.clear(PART) => events::recovered(self.name(), PART),
            _ => {}
        }
    }

    fn report_unassigned(&self, partitions: &[TopicPartition]) {
        const PART: &str = "group";
        events::unassigned(self.name(), partitions);
        if partitions.is_empty() {
            if self.setting.status.clear(PART) {
                events::recovered(self.name(), PART);
            }
            return;
        }
        let message = format!(
            "nobody in group {} holds {}; a member leaves and joins again, so that the group shares them out anew. \
             Where that does not help, stop a member for longer than its session of 6 s",
            self.setting.pipeline.source.group,
            named(partitions)
        );
        self.setting.status.report(PART, Disposition::Retry, message);
    }

    /// The database granted partitions: give each a lane and read it.
    fn read(&mut self, granted: Granted) {
        let mut readable = Vec::with_capacity(granted.leases.len());
        let mut found = Vec::with_capacity(granted.leases.len());
        // What the group took meanwhile is not ours any more, whatever the database granted.
        for lease in granted.leases {
            if !self.assigned.contains(lease.partition()) {
                continue;
            }
            found.push((lease.partition().clone(), lease.start()));
            let lane = self.lane_for(lease.partition());
            self.held.add(lease.clone());
            self.leases.insert(lease.partition().clone(), (lease.clone(), lane));
            readable.push((lease, self.lanes[lane].inbox.clone()));
        }
        if !readable.is_empty() {
            self.consumer.read(granted.generation, readable);
            // Who was killed between a COMMIT and the group's offset left the group behind.
            if let Outlet::Database(_) = self.outlet {
                self.consumer.commit(found);
            }
        }
    }

    /// The lane of a partition: the one it had, else the one with the fewest partitions. A lane is started only when
    /// there is a partition for it.
    fn lane_for(&mut self, partition: &TopicPartition) -> usize {
        if let Some((_, lane)) = self.leases.get(partition) {
            return *lane;
        }
        let mut load = vec![0usize; self.lanes.len()];
        for (_, lane) in self.leases.values() {
            load[*lane] += 1;
        }
        let least = (0..load.len()).min_by_key(|lane| load[*lane]);
        match least {
            Some(lane) if load[lane] == 0 || self.lanes.len() >= self.max_lanes => lane,
            _ => {
                let (prepared, stages, lookups) =
                    self.prepared.clone().expect("nothing is granted before the database is prepared");
                let writer = self.outlet.writer(&self.setting.pipeline, &prepared, self.lanes.len());
                let context = LaneContext {
                    pipeline: self.setting.pipeline.clone(),
                    prepared,
                    stages,
                    lookups,
                    shapes: self.queries.shapes(),
                    status: self.setting.status.clone(),
                    reports: self.report_sender.clone(),
                    budget: self.setting.budget.clone(),
                    ending: self.ending.subscribe(),
                };
                self.lanes.push(Lane::start(self.lanes.len(), context, writer, &mut self.tasks));
                self.lanes.len() - 1
            }
        }
    }

    fn account(&mut self, report: Report) {
        match report {
            Report::Stored(receipt) => {
                for (partition, _) in receipt.offsets().iter() {
                    self.fenced.remove(partition);
                }
                let moved = self.group_offsets.record(&receipt);
                if !moved.is_empty() {
                    self.consumer.commit(moved);
                }
            }
            Report::Fenced(partitions) => {
                self.end_leases(&partitions);
                for partition in partitions.into_iter().filter(|partition| self.assigned.contains(partition)) {
                    let times = self.fenced.entry(partition.clone()).or_default();
                    *times += 1;
                    if *times >= FENCED_TOO_OFTEN {
                        let message = format!(
                            "{partition} was taken over {times} times in a row while the group says that it is ours: \
                             another daemon runs a pipeline named \"{}\" under another group, or with another \
                             broker. Give one of them another name",
                            self.setting.pipeline.name
                        );
                        self.setting.status.report("ownership", Disposition::Block, message);
                    }
                    let delay = RECLAIM_DELAY * (*times).min(15);
                    self.reclaims.push((Instant::now() + delay, partition));
                }
            }
        }
        if self.fenced.is_empty() {
            self.setting.status.clear("ownership");
        }
    }

    /// Nothing more is read or written under the leases of these partitions.
    fn end_leases(&mut self, partitions: &[TopicPartition]) {
        self.wanted.remove(partitions);
        self.reclaims.retain(|(_, partition)| !partitions.contains(partition));
        for partition in partitions {
            self.end_lease(partition);
            self.group_offsets.release(partition);
        }
        self.consumer.forget(partitions.to_vec());
    }

    /// What is read of these partitions may not be what was claimed.
    fn claim_again(&mut self, partitions: Vec<TopicPartition>) {
        self.end_leases(&partitions);
        self.wanted.add(partitions.into_iter().filter(|p| self.assigned.contains(p)), self.generation);
    }

    fn end_lease(&mut self, partition: &TopicPartition) {
        if let Some((lease, lane)) = self.leases.remove(partition) {
            lease.end();
            self.lanes[lane].inbox.purge_ended_leases();
            events::lag_ended(self.name(), partition);
        }
    }

    fn reclaim(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.reclaims).into_iter().partition(|(at, _)| *at <= now);
        self.reclaims = later;
        let due: Vec<(Instant, TopicPartition)> = due;
        self.wanted.add(due.into_iter().map(|(_, partition)| partition), self.generation);
    }

    /// The group takes partitions: finish what is in flight, then let go. What is only buffered is dropped; the next
    /// owner reads it.
    async fn revoke(&mut self, partitions: Vec<TopicPartition>, drained: &sync_mpsc::SyncSender<Positions>) {
        events::revoked(self.name(), &partitions);
        self.wanted.remove(&partitions);
        self.identities.forget(&partitions);
        self.reclaims.retain(|(_, partition)| !partitions.contains(partition));
        for partition in &partitions {
            self.assigned.remove(partition);
            self.fenced.remove(partition);
            self.end_lease(partition);
        }
        let _ = timeout(REVOKE_FLUSH, self.flush()).await;
        let position = |partition: TopicPartition| self.group_offsets.release(&partition).map(|at| (partition, at));
        let positions = partitions.into_iter().filter_map(position).collect();
        // The thread may have given up waiting; the database has what counts.
        let _ = drained.try_send(positions);
    }

    /// Waits until nothing is in flight in any lane, taking the receipts in.
    async fn flush(&mut self) {
        for lane in 0..self.lanes.len() {
            self.lanes[lane].flush().await;
        }
        while let Ok(report) = self.reports.try_recv() {
            self.account(report);
        }
    }

    /// Ends in good order: what is being written is finished, what is only buffered is left for the next start.
    async fn drain(mut self, events: &mut mpsc::UnboundedReceiver<Event>) -> bool {
        self.setting.status.enter(State::Draining);
        let deadline = Instant::now() + self.setting.drain_limit;
        self.consumer.pause(true);
        self.ending.send_replace(true);
        for (lease, _) in self.leases.values() {
            lease.end();
        }
        for lane in &self.lanes {
            lane.inbox.close();
        }
        let is_flushed = timeout(self.setting.drain_limit, self.flush()).await.is_ok();
        // The lanes end when their handles do, and close their connections.
        self.lanes.clear();
        // The thread asks for revoked partitions while it leaves: everything is flushed, so answer with what is known.
        let remaining = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let Self { consumer, setting, group_offsets, .. } = self;
        let stopped = tokio::task::spawn_blocking(move || consumer.stop(remaining));
        tokio::pin!(stopped);
        let is_left = loop {
            tokio::select! {
                stopped = &mut stopped => break stopped.unwrap_or(false),
                Some(event) = events.recv() => {
                    if let Event::Revoked { partitions, drained } = event {
                        let position = |p: TopicPartition| group_offsets.to_commit(&p).map(|at| (p, at));
                        let _ = drained.try_send(partitions.into_iter().filter_map(position).collect());
                    }
                }
            }
        };
        setting.status.enter(State::Stopped);
        is_flushed && is_left
    }
}

/// The first few, by name.
fn named(partitions: &[TopicPartition]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> = partitions.iter().take(SHOWN).map(TopicPartition::to_string).collect();
    if partitions.len() > SHOWN {
        names.push(format!("{} more", partitions.len() - SHOWN));
    }
    names.join(", ")
}

type Positions = Vec<(TopicPartition, i64)>;

async fn next_reclaim(reclaims: &[(Instant, TopicPartition)]) {
    match reclaims.iter().map(|(at, _)| *at).min() {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Unique to this run, and telling to whoever reads `tidegate_positions`.
fn owner() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}/{}/{:08x}", std::process::id(), fastrand::u32(..))
}
