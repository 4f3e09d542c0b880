//! `retention`: rows that are too old when they come are not written, and stored ones are deleted.
//!
//! One owner per table deletes, told by a row of `tidegate_meta` that is good for a while. It saves work and nothing else:
//! two owners would delete the same rows. So clocks that differ do no harm.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use tokio::time::Instant;

use crate::rows::{Operation, Rows};
use crate::types::ColumnType;

use super::error::WriteError;
use super::plan::{RetentionPlan, TablePlan};
use super::session::Session;

/// Rows of one statement: its locks are held for milliseconds, and nobody waits for them longer.
const CHUNK: u32 = 1000;
/// How long a lease is good: longer than a round, so that its owner renews it in time.
const LEASE: Duration = Duration::from_secs(60);
/// How long one table is worked on in a round.
const ROUND: Duration = Duration::from_secs(10);

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What a round did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    pub table: String,
    /// How long its rows are kept, as this pipeline's file says.
    pub keep: Duration,
    /// Is it this pipeline that deletes its old rows?
    pub owned: bool,
    pub deleted: u64,
    /// Are there old rows left?
    pub more: bool,
    /// What the owner's file says, where it says something else.
    pub other_keep: Option<Duration>,
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl RetentionPlan {
    /// What is older is too old: microseconds since 1970.
    fn limit(&self) -> i64 {
        i64::try_from(now().saturating_sub(self.keep).as_micros()).unwrap_or(i64::MAX)
    }

    /// The limit as text, in UTC: `2026-11-01`, or `2026-11-01 10:00:00.000000`.
    fn limit_text(&self) -> String {
        let at = jiff::Timestamp::from_microsecond(self.limit()).unwrap_or_default();
        let form = if self.ty == ColumnType::Date { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M:%S.%6f" };
        at.strftime(form).to_string()
    }
}

/// The rows that are not too old, and how many are. Deletes are never too old.
pub fn arriving<'a>(plan: &TablePlan, rows: &'a Rows) -> (Cow<'a, Rows>, u64) {
    let place = plan.retention.as_ref().and_then(|retention| Some((retention, retention.place?)));
    let Some((retention, place)) = place else { return (Cow::Borrowed(rows), 0) };
    let array = rows.batch.column(plan.columns[place].input);
    let limit = retention.limit();
    let kept = match array.data_type() {
        DataType::Date32 => {
            let limit = i32::try_from(limit.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX);
            young(array.as_primitive::<Date32Type>(), rows, limit)
        }
        DataType::Timestamp(..) => young(array.as_primitive::<TimestampMicrosecondType>(), rows, limit),
        // The planner lets nothing else pass.
        _ => return (Cow::Borrowed(rows), 0),
    };
    let expired = (rows.len() - kept.count_set_bits()) as u64;
    if expired == 0 { (Cow::Borrowed(rows), 0) } else { (Cow::Owned(rows.only(&kept)), expired) }
}

fn young<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, rows: &Rows, limit: T::Native) -> BooleanBuffer
where
    T::Native: PartialOrd,
{
    let is_young =
        |row: usize| rows.operations[row] != Operation::Upsert || array.is_null(row) || array.value(row) >= limit;
    (0..rows.len()).map(is_young).collect()
}

/// Deletes old rows of all tables that this owner has, for a while.
pub async fn round<S: Session>(session: &mut S, plans: &[TablePlan], owner: &str) -> Result<Vec<Retained>, WriteError> {
    let mut round = Vec::new();
    for plan in plans {
        let Some(retention) = &plan.retention else { continue };
        let keep = retention.keep;
        let mut retained =
            Retained { table: plan.table.full_name(), keep, owned: false, deleted: 0, more: false, other_keep: None };
        match lease(session, &retained.table, keep, owner).await? {
            Ok(()) => retained.owned = true,
            Err(other) => retained.other_keep = other,
        }
        let start = Instant::now();
        while retained.owned {
            let begun = Instant::now();
            let deleted = session.expire(plan, retention, &retention.limit_text(), CHUNK).await?;
            retained.deleted += deleted;
            retained.more = deleted >= u64::from(CHUNK);
            if !retained.more || start.elapsed() > ROUND {
                break;
            }
            // At most half of the time, so that the writers have the other half.
            tokio::time::sleep(begun.elapsed()).await;
        }
        round.push(retained);
    }
    Ok(round)
}

/// Takes or renews the lease of a table.
///
/// # Errors
/// The inner one: somebody else has it; how long they keep rows, where that is something else.
async fn lease<S: Session>(
    session: &mut S,
    table: &str,
    keep: Duration,
    owner: &str,
) -> Result<Result<(), Option<Duration>>, WriteError> {
    let name = lease_name(table);
    let stored = session.meta(&name).await?;
    if let Some(lease) = stored.as_deref().and_then(Lease::parse)
        && lease.owner != owner
        && lease.until > now()
    {
        return Ok(Err((lease.keep != keep).then_some(lease.keep)));
    }
    let new = Lease { keep, until: now() + LEASE, owner }.to_text();
    // Where somebody else was faster, it is theirs.
    Ok(if session.swap_meta(&name, stored.as_deref(), &new).await? { Ok(()) } else { Err(None) })
}

/// The name of a table's lease; MySQL's column takes 64 characters.
fn lease_name(table: &str) -> String {
    const LONGEST: usize = 64;
    let name = format!("retention {table}");
    if name.chars().count() <= LONGEST {
        return name;
    }
    let mut hasher = DefaultHasher::new();
    hasher.write(table.as_bytes());
    format!("retention #{:016x}", hasher.finish())
}

/// `keep|until|owner`, the times in milliseconds.
struct Lease<'a> {
    keep: Duration,
    until: Duration,
    owner: &'a str,
}

impl<'a> Lease<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(3, '|');
        let mut time = || Some(Duration::from_millis(parts.next()?.parse().ok()?));
        let (keep, until) = (time()?, time()?);
        Some(Self { keep, until, owner: parts.next()? })
    }

    fn to_text(&self) -> String {
        format!("{}|{}|{}", self.keep.as_millis(), self.until.as_millis(), self.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_reads_as_it_was_written() {
        let lease = Lease { keep: Duration::from_secs(60), until: Duration::from_millis(1_234), owner: "host/1|x" };
        let text = lease.to_text();
        let read = Lease::parse(&text).unwrap();
        assert_eq!((read.keep, read.until, read.owner), (lease.keep, lease.until, lease.owner));
        assert!(Lease::parse("nonsense").is_none());
    }

    #[test]
    fn names_of_leases_fit_the_column() {
        assert_eq!(lease_name("shop.orders"), "retention shop.orders");
        let long = |last: char| lease_name(&format!("{}{last}", "t".repeat(120)));
        assert!(long('a').len() <= 64);
        assert_ne!(long('a'), long('b'));
    }
}
