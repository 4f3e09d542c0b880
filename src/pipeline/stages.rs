//! What happens to a batch between the inbox and the database: decoded and checked once, then through the statement of
//! each table and topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::Pipeline;
use crate::dead_letter::Fault;
use crate::decode::{self, Decoder};
use crate::profile::{Part, Profiler};
use crate::records::Records;
use crate::rows::{InputSchema, Rows};
use crate::transform::{Join, Transform};

use super::checks::{Checks, Judged};
use super::follow::{self, Followed};
use super::lookups::Lookups;
use super::naming::{Naming, Routed};

/// The stages of a pipeline, shared by its lanes.
pub struct Stages {
    pub(super) input: Arc<InputSchema>,
    pub(super) checks: Checks,
    /// In an order in which each needs only those before it.
    pub(super) joins: Vec<Join>,
    /// Per `[[lookup]]`: the columns that are read of it.
    pub(super) looked_up: Vec<BTreeSet<usize>>,
    /// One per `[[table]]`; `None`: the decoded rows go in as they are.
    pub(super) transforms: Vec<Option<Transform>>,
    /// One per `[[topic]]`; `None`: it follows a merge table.
    pub(super) topics: Vec<Option<Transform>>,
    /// Per `[[table]]`: does it follow a merge table, so that its rows come later?
    pub(super) follows: Vec<bool>,
    /// The merge tables that something follows.
    pub(super) followed: Vec<Followed>,
    pub(super) has_groups: bool,
    /// What `[profile]` asks for.
    pub(super) profiler: Option<Profiler>,
    /// One per `[[table]]`; `None`: it is one table.
    pub(super) names: Vec<Option<Naming>>,
}

/// A batch of records as the rows of each table and topic.
pub struct Shaped {
    /// One per `[[table]]`.
    pub tables: Vec<Shape>,
    /// The rows of each `[[topic]]`.
    pub topics: Vec<Arc<Rows>>,
    /// Checked rows that no table got, because a statement or the database refused their record.
    pub taken_out: u64,
    /// Records that are in none of the tables: their index, ascending, and what is wrong with them.
    pub bad: Vec<(u32, Fault)>,
    /// Records that a check drops: their index, ascending.
    pub dropped: Vec<u32>,
    /// The first record that a check stops the pipeline for.
    pub stopped: Option<(u32, Fault)>,
    /// Per `[[check]]`: how many records violate it.
    pub violations: Vec<u64>,
    /// What the profiled columns hold.
    pub profile: Vec<Part>,
    /// Undeclared fields that were not seen before.
    pub new_unknown_fields: Vec<String>,
}

/// What a batch is to one table.
pub struct Shape {
    pub rows: Arc<Rows>,
    /// The rows by their table, where the rows name it.
    pub routed: Option<Vec<Routed>>,
    /// Rows that the statement's WHERE left out.
    pub filtered: u64,
    /// Deletes that an aggregation has no use for.
    pub ignored: u64,
}

impl Stages {
    pub fn decoder(&self, pipeline: &Pipeline) -> Box<dyn Decoder> {
        decode::json(self.input.clone(), pipeline.source.key_format)
    }

    /// The merge tables that something follows.
    pub fn followed(&self) -> &[Followed] {
        &self.followed
    }

    /// Does a row of a statement stand for several records, so that a refused row accuses none of them?
    pub fn has_groups(&self) -> bool {
        self.has_groups
    }

    /// Decodes and checks the records, looks up what is joined and runs the statements, these without the records of
    /// `refused`. It only waits for what is looked up.
    pub async fn run(
        &self,
        decoder: &mut dyn Decoder,
        records: &Records,
        refused: &BTreeSet<u32>,
        lookups: &Lookups,
    ) -> Shaped {
        let decode::Decoded { rows, bad, new_unknown_fields } = decoder.decode(records);
        let mut bad: BTreeMap<u32, Fault> = bad.into_iter().collect();
        let profile = self.profiler.as_ref().map_or_else(Vec::new, |profiler| profiler.look(&rows));
        let Judged { bad: violating, dropped, stopped, violations } = self.checks.judge(&rows);
        let judged = violating.keys().chain(&dropped).copied().collect();
        bad.extend(violating);
        let mut checked = without(&Arc::new(rows), &judged);
        if !self.joins.is_empty() {
            let rows = Arc::unwrap_or_clone(checked);
            checked = Arc::new(lookups.join(&self.joins, rows, records.leases(), &mut bad).await);
        }
        let mut rows = without(&checked, refused);
        let (mut tables, mut topics) = (self.tables(&rows, records, &mut bad), self.topics(&rows, &mut bad));
        // A record goes into all tables or into none, and out of every sum: what one statement failed on, the others do
        // again without it.
        let are_apart = self.transforms.len() + self.topics.len() > 1 || self.names.iter().any(Option::is_some);
        while are_apart && !bad.is_empty() && rows.origins.iter().any(|origin| bad.contains_key(origin)) {
            rows = without(&checked, &bad.keys().chain(refused).copied().collect());
            tables = self.tables(&rows, records, &mut bad);
            topics = self.topics(&rows, &mut bad);
        }
        let taken_out = (checked.len() - rows.len()) as u64;
        let bad = bad.into_iter().filter(|(record, _)| !refused.contains(record)).collect();
        Shaped { tables, topics, taken_out, bad, dropped, stopped, violations, profile, new_unknown_fields }
    }

    fn topics(&self, rows: &Arc<Rows>, bad: &mut BTreeMap<u32, Fault>) -> Vec<Arc<Rows>> {
        let events = |transform: &Option<Transform>| {
            let Some(transform) = transform else { return follow::nothing() };
            let transformed = transform.run(rows);
            for (record, fault) in transformed.bad {
                bad.entry(record).or_insert(fault);
            }
            Arc::new(transformed.rows)
        };
        self.topics.iter().map(events).collect()
    }

    fn tables(&self, rows: &Arc<Rows>, records: &Records, bad: &mut BTreeMap<u32, Fault>) -> Vec<Shape> {
        let shape = |((transform, follows), naming): ((&Option<Transform>, &bool), &Option<Naming>)| {
            if *follows {
                return Shape { rows: follow::nothing(), routed: None, filtered: 0, ignored: 0 };
            }
            let mut shape = self::shape(rows, transform.as_ref(), bad);
            if let Some(naming) = naming {
                let (routed, ignored) = naming.split(&shape.rows, records, bad);
                shape.ignored += ignored;
                shape.routed = Some(routed);
            }
            shape
        };
        self.transforms.iter().zip(&self.follows).zip(&self.names).map(shape).collect()
    }
}

fn shape(rows: &Arc<Rows>, transform: Option<&Transform>, bad: &mut BTreeMap<u32, Fault>) -> Shape {
    let Some(transform) = transform else {
        return Shape { rows: rows.clone(), routed: None, filtered: 0, ignored: 0 };
    };
    let transformed = transform.run(rows);
    for (record, fault) in transformed.bad {
        bad.entry(record).or_insert(fault);
    }
    let (filtered, ignored) = (transformed.filtered, transformed.ignored);
    Shape { rows: Arc::new(transformed.rows), routed: None, filtered, ignored }
}

impl Shape {
    /// What is written of it: the rows of each table, with its name where the rows have it.
    pub fn parts(&self) -> Vec<(Option<Arc<str>>, Arc<Rows>)> {
        match &self.routed {
            None => vec![(None, self.rows.clone())],
            Some(routed) => routed.iter().map(|part| (Some(part.name.clone()), part.rows.clone())).collect(),
        }
    }
}

fn without(rows: &Arc<Rows>, records: &BTreeSet<u32>) -> Arc<Rows> {
    match records.is_empty() {
        true => rows.clone(),
        false => Arc::new(rows.without_origins(|origin| records.contains(&origin))),
    }
}
