//! `[[lookup]]` at work: which rows a batch asks for, where they come from, and what happens when they do not come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use hashbrown::HashMap;

use crate::config::{Lookup, OnUnavailable, Pipeline};
use crate::dead_letter::Fault;
use crate::events::{self, LookedUp};
use crate::lease::Lease;
use crate::lookup::cache::{Cache, Found, Keys, Row};
use crate::retry::{Backoff, Disposition};
use crate::rows::Rows;
use crate::status::Status;
use crate::transform::Join;
use crate::write::error::WriteError;
use crate::write::{LookupReader, LookupTable};

use super::lookup_rows::{Columns, Held};

/// How often a batch that waits looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The lookups of a pipeline, shared by its lanes.
pub struct Lookups {
    lookups: Vec<Source>,
    /// One connection for all of them; none where there is no table.
    reader: Option<tokio::sync::Mutex<Box<dyn LookupReader>>>,
    pipeline: String,
    status: Arc<Status>,
}

/// Where the rows of a lookup are.
struct Source {
    lookup: Lookup,
    columns: Columns,
    rows: From,
    /// A batch went on without what the database should have given, and the status says so.
    did_without: AtomicBool,
}

enum From {
    /// What was read of the table.
    Table(std::sync::Mutex<Recent>),
    /// All of them: a file's, or a case's.
    Held(Held),
}

struct Recent {
    cache: Cache,
    /// After a failure: not asked again before.
    not_before: Option<Instant>,
    backoff: Backoff,
}

/// What a batch asks for.
struct Question<'a> {
    keys: &'a Keys,
    arrays: &'a [ArrayRef],
    /// The first row of each key that differs from those before it.
    distinct: Vec<u32>,
    leases: &'a [Arc<Lease>],
}

/// Per distinct key the row, where there is one.
struct Answer {
    rows: Vec<Option<Row>>,
    counts: LookedUp,
}

impl Lookups {
    /// `used`: per lookup the columns that are read. `reader`: for these tables (`tables`).
    ///
    /// # Errors
    /// Every file that cannot be read, as a sentence.
    pub fn open(
        pipeline: &Pipeline,
        used: &[BTreeSet<usize>],
        status: Arc<Status>,
        reader: Option<Box<dyn LookupReader>>,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut lookups = Vec::with_capacity(pipeline.lookups.len());
        for (lookup, used) in pipeline.lookups.iter().zip(used) {
            let columns = Columns::new(lookup, used, pipeline.source.timezone.as_deref());
            let rows = match Held::of_file(lookup, &columns) {
                None => From::Table(std::sync::Mutex::new(Recent::new(lookup))),
                Some(Ok(held)) => From::Held(held),
                Some(Err(what)) => {
                    problems.push(format!("lookup {}: {what}", lookup.name));
                    continue;
                }
            };
            lookups.push(Source::new(lookup, columns, rows));
        }
        let pipeline = pipeline.name.clone();
        match problems.is_empty() {
            true => Ok(Self { lookups, reader: reader.map(tokio::sync::Mutex::new), pipeline, status }),
            false => Err(problems),
        }
    }

    /// The lookups of a case: `rows` in the place of tables and files.
    ///
    /// # Errors
    /// Every problem, as a sentence.
    pub fn rehearsed(
        pipeline: &Pipeline,
        used: &[BTreeSet<usize>],
        rows: &[crate::config::CaseLookup],
    ) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut lookups = Vec::with_capacity(pipeline.lookups.len());
        for (index, (lookup, used)) in pipeline.lookups.iter().zip(used).enumerate() {
            let columns = Columns::new(lookup, used, pipeline.source.timezone.as_deref());
            let given = rows.iter().find(|rows| rows.lookup == index).map(|given| &given.rows);
            let held = match (given, Held::of_file(lookup, &columns)) {
                (Some(rows), _) => Held::of_case(lookup, &columns, rows),
                (None, Some(held)) => held,
                // Nobody joins it.
                (None, None) if used.is_empty() => Held::of_case(lookup, &columns, &[]),
                (None, None) => Err(format!(
                    "it is a table, and a case asks no database; write its rows: lookup = {{ {} = [{{ {} = .. }}] }}",
                    lookup.name, lookup.key[0]
                )),
            };
            match held {
                Ok(held) => lookups.push(Source::new(lookup, columns, From::Held(held))),
                Err(what) => problems.push(format!("lookup {}: {what}", lookup.name)),
            }
        }
        let status = Status::new(&pipeline.name);
        match problems.is_empty() {
            true => Ok(Self { lookups, reader: None, pipeline: pipeline.name.clone(), status }),
            false => Err(problems),
        }
    }

    /// The rows with the columns of everything that is joined. Records whose key cannot be computed are out of them and
    /// in `bad`. Where a lease ends while it is waited for the database, the columns hold nothing: the batch is not
    /// written as it is then.
    pub async fn join(
        &self,
        joins: &[Join],
        mut rows: Rows,
        leases: &[Arc<Lease>],
        bad: &mut BTreeMap<u32, Fault>,
    ) -> Rows {
        let mut out = BTreeSet::new();
        for join in joins {
            let asked = join.asked(&rows);
            for (record, fault) in asked.bad {
                out.insert(record);
                bad.entry(record).or_insert(fault);
            }
            let source = &self.lookups[join.lookup];
            let keys = source.columns.codec.keys(&asked.keys);
            let (slots, distinct) = distinct(&keys);
            let question = Question { keys: &keys, arrays: &asked.keys, distinct, leases };
            let Answer { rows: found, mut counts } = self.answer(join.lookup, source, &question).await;
            // The rows that were found, each once, as columns.
            let mut present: Vec<Row> = Vec::new();
            let index: Vec<Option<u32>> = found
                .into_iter()
                .map(|row| {
                    present.push(row?);
                    Some(present.len() as u32 - 1)
                })
                .collect();
            let of_key = |key: u32| slots[key as usize].and_then(|slot| index[slot as usize]);
            let picks: UInt32Array = asked.rows.iter().map(|key| key.and_then(of_key)).collect();
            counts.matched = (picks.len() - arrow_array::Array::null_count(&picks)) as u64;
            counts.missing = asked.rows.iter().flatten().count() as u64 - counts.matched;
            events::looked_up(&self.pipeline, &source.lookup.name, &counts);
            rows = join.joined(rows, &picks, &source.columns.spread(&present));
        }
        match out.is_empty() {
            true => rows,
            false => rows.without_origins(|origin| out.contains(&origin)),
        }
    }

    /// A batch was stored, so the database answers again.
    pub fn database_answers(&self) {
        for source in self.lookups.iter().filter(|source| source.did_without.swap(false, Ordering::Relaxed)) {
            let part = part(&source.lookup);
            if self.status.clear(&part) {
                events::recovered(&self.pipeline, &part);
            }
        }
    }

    async fn answer(&self, lookup: usize, source: &Source, question: &Question<'_>) -> Answer {
        let key = |row: &u32| question.keys.get(*row as usize).unwrap_or_default();
        match &source.rows {
            From::Held(held) => {
                let rows = held.current(&self.pipeline, &source.lookup, &source.columns).await;
                let found = question.distinct.iter().map(|row| rows.get(key(row)).cloned()).collect();
                let counts =
                    LookedUp { cached: question.distinct.len() as u64, entries: rows.len(), ..LookedUp::default() };
                Answer { rows: found, counts }
            }
            From::Table(recent) => self.ask(lookup, source, recent, question).await,
        }
    }

    /// What is not in memory is asked for; what cannot be had is what `on_unavailable` says.
    async fn ask(
        &self,
        lookup: usize,
        source: &Source,
        recent: &std::sync::Mutex<Recent>,
        question: &Question<'_>,
    ) -> Answer {
        let part = part(&source.lookup);
        let mut reported = false;
        loop {
            let (found, closed) = lock(recent).look(question);
            let wanted: Vec<usize> = (0..found.len()).filter(|slot| !matches!(found[*slot], Found::Fresh(_))).collect();
            let mut counts = LookedUp { cached: (found.len() - wanted.len()) as u64, ..LookedUp::default() };
            if wanted.is_empty() {
                counts.entries = lock(recent).cache.len();
                return Answer { rows: found.into_iter().map(known).collect(), counts };
            }
            let policy = source.lookup.on_unavailable;
            let can_do_without = match policy {
                OnUnavailable::Wait => false,
                OnUnavailable::Stale => !found.contains(&Found::Unknown),
                OnUnavailable::Null => true,
            };
            let error = match closed {
                Some(error) if can_do_without => error,
                _ => match self.read(lookup, source, question, &wanted).await {
                    Ok(read) => {
                        counts.loaded = wanted.len() as u64;
                        let mut recent = lock(recent);
                        recent.read(question, &wanted, &read);
                        counts.entries = recent.cache.len();
                        if self.status.clear(&part) || reported {
                            events::recovered(&self.pipeline, &part);
                        }
                        let mut rows: Vec<Option<Row>> = found.into_iter().map(known).collect();
                        for slot in wanted {
                            rows[slot] = read.get(question.key(slot)).cloned();
                        }
                        return Answer { rows, counts };
                    }
                    Err(error) => {
                        let delay = lock(recent).failed(&error);
                        if error.disposition != Disposition::Retry || !can_do_without {
                            reported = true;
                            self.tell(&part, &error, lock(recent).backoff.attempts());
                            if !wait(delay, question.leases).await {
                                return Answer { rows: vec![None; found.len()], counts };
                            }
                            continue;
                        }
                        events::retry(&self.pipeline, "lookup", &error, lock(recent).backoff.attempts());
                        error
                    }
                },
            };
            source.did_without.store(true, Ordering::Relaxed);
            self.status.report(&part, Disposition::Retry, without(policy, &error));
            counts.entries = lock(recent).cache.len();
            return answered_without(policy, found, counts);
        }
    }

    fn tell(&self, part: &str, error: &WriteError, attempts: u32) {
        let is_news = self.status.report(part, error.disposition, error.to_string());
        match error.disposition {
            Disposition::Retry => events::retry(&self.pipeline, "lookup", error, attempts),
            _ if is_news => events::blocked(&self.pipeline, part, error),
            _ => {}
        }
    }

    /// The rows of the keys of `slots`, by their keys.
    async fn read(
        &self,
        lookup: usize,
        source: &Source,
        question: &Question<'_>,
        slots: &[usize],
    ) -> Result<HashMap<Box<[u8]>, Row>, WriteError> {
        let Some(reader) = &self.reader else { return Ok(HashMap::new()) };
        let rows: UInt32Array = slots.iter().map(|slot| Some(question.distinct[*slot])).collect();
        let keys = question.arrays.iter().map(|array| take(array, &rows, None).expect("rows of the keys")).collect();
        let keys: Vec<ArrayRef> = keys;
        let texts = reader.lock().await.read(lookup, &keys).await?;
        let blocked = |class, message: String| {
            let message = format!("lookup {}: {message}", source.lookup.name);
            WriteError::new(Disposition::Block, class, "", message)
        };
        let asked: BTreeSet<&[u8]> = slots.iter().map(|slot| question.key(*slot)).collect();
        let read = source.columns.read(&texts).map_err(|(_, fault)| blocked(fault.class, fault.reason))?;
        let mut found = HashMap::with_capacity(read.len());
        for (key, row) in read {
            // A collation may bring rows whose keys are others to us.
            let is_asked = key.as_ref().is_some_and(|key| asked.contains(&**key));
            if let Some(key) = key.filter(|_| is_asked)
                && found.insert(key, row).is_some()
            {
                let message = format!(
                    "two rows of the table have one key ({}); delete one and add a unique index, or name more columns \
                     in `key`",
                    source.lookup.key.join(", ")
                );
                return Err(blocked("duplicate-key", message));
            }
        }
        Ok(found)
    }
}

impl Source {
    fn new(lookup: &Lookup, columns: Columns, rows: From) -> Self {
        Self { lookup: lookup.clone(), columns, rows, did_without: AtomicBool::new(false) }
    }
}

impl Question<'_> {
    fn key(&self, slot: usize) -> &[u8] {
        self.keys.get(self.distinct[slot] as usize).unwrap_or_default()
    }
}

impl Recent {
    fn new(lookup: &Lookup) -> Self {
        let cache = Cache::new(lookup.max_rows, lookup.max_age);
        Self { cache, not_before: None, backoff: Backoff::new() }
    }

    /// What is known of each key, and whether the database is not to be asked for now.
    fn look(&mut self, question: &Question<'_>) -> (Vec<Found>, Option<WriteError>) {
        let now = Instant::now();
        let found = (0..question.distinct.len()).map(|slot| self.cache.get(question.key(slot), now)).collect();
        let closed = self
            .not_before
            .filter(|time| *time > now)
            .map(|_| WriteError::new(Disposition::Retry, "connection", "", "the database did not answer a moment ago"));
        (found, closed)
    }

    fn read(&mut self, question: &Question<'_>, slots: &[usize], read: &HashMap<Box<[u8]>, Row>) {
        let now = Instant::now();
        for slot in slots {
            let key = question.key(*slot);
            self.cache.put(key, read.get(key).cloned(), now);
        }
        self.not_before = None;
        self.backoff.reset();
    }

    fn failed(&mut self, error: &WriteError) -> Duration {
        let delay = self.backoff.next_delay();
        self.not_before = (error.disposition == Disposition::Retry).then(|| Instant::now() + delay);
        delay
    }
}

/// How the status calls a lookup.
fn part(lookup: &Lookup) -> String {
    format!("lookup {}", lookup.name)
}

fn lock(recent: &std::sync::Mutex<Recent>) -> std::sync::MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn known(found: Found) -> Option<Row> {
    match found {
        Found::Fresh(row) | Found::Stale(row) => row,
        Found::Unknown => None,
    }
}

/// What `on_unavailable` makes of what is in memory.
fn answered_without(policy: OnUnavailable, found: Vec<Found>, mut counts: LookedUp) -> Answer {
    let mut one = |found: Found| match found {
        Found::Fresh(row) => row,
        Found::Stale(row) if policy == OnUnavailable::Stale => {
            counts.stale += 1;
            row
        }
        Found::Stale(_) | Found::Unknown => {
            counts.unavailable += 1;
            None
        }
    };
    let rows = found.into_iter().map(&mut one).collect();
    Answer { rows, counts }
}

fn without(policy: OnUnavailable, error: &WriteError) -> String {
    let meanwhile = match policy {
        OnUnavailable::Stale => "rows that are too old are used meanwhile (on_unavailable = \"stale\")",
        _ => "what is not in memory is null meanwhile (on_unavailable = \"null\")",
    };
    format!("{error}; {meanwhile}")
}

/// Waits; `false` as soon as a lease has ended.
async fn wait(delay: Duration, leases: &[Arc<Lease>]) -> bool {
    let until = Instant::now() + delay;
    loop {
        if leases.iter().any(|lease| !lease.is_alive()) {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// Per row the number of its key, in the order of their first rows; `None` for a key with a null.
fn distinct(keys: &Keys) -> (Vec<Option<u32>>, Vec<u32>) {
    let mut numbers: HashMap<&[u8], u32> = HashMap::with_capacity(keys.len());
    let mut firsts = Vec::new();
    let slot = |row: usize| {
        let key = keys.get(row)?;
        Some(*numbers.entry(key).or_insert_with(|| {
            firsts.push(row as u32);
            firsts.len() as u32 - 1
        }))
    };
    let slots = (0..keys.len()).map(slot).collect();
    (slots, firsts)
}

/// The tables that are read, for [`crate::write::Destination::lookups`]: per lookup, `None` for files.
pub fn tables(pipeline: &Pipeline, used: &[BTreeSet<usize>]) -> Vec<Option<LookupTable>> {
    let table = |(lookup, used): (&Lookup, &BTreeSet<usize>)| {
        LookupTable::with(lookup, super::lookup_rows::read_columns(lookup, used))
    };
    pipeline.lookups.iter().zip(used).map(table).collect()
}
