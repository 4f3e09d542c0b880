//! Deletes old rows, beside the lanes and on a connection of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::events;
use crate::retry::Backoff;
use crate::write::{Destination, Prepared};

/// The longest and the shortest pause between two looks at the tables.
const LONGEST: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);

/// Does any table have old rows?
pub fn is_wanted(prepared: &Prepared) -> bool {
    prepared.tables.iter().any(|table| table.retention.is_some())
}

/// Goes on until its task is ended.
pub async fn keep(pipeline: String, destination: Arc<dyn Destination>, prepared: Prepared, owner: String) {
    let shortest = prepared.tables.iter().filter_map(|table| Some(table.retention.as_ref()?.keep)).min();
    // A hundredth of what is kept: a table is larger than it should be by that much.
    let interval = (shortest.unwrap_or(LONGEST) / 100).clamp(SHORTEST, LONGEST);
    let mut backoff = Backoff::new();
    let mut told = BTreeSet::new();
    loop {
        let pause = match destination.retain(&prepared, &owner).await {
            Ok(round) => {
                backoff = Backoff::new();
                for table in &round {
                    events::retained(&pipeline, table);
                    if let Some(theirs) = table.other_keep
                        && told.insert((table.table.clone(), theirs))
                    {
                        events::retention_differs(&pipeline, &table.table, table.keep, theirs);
                    }
                }
                if round.iter().any(|table| table.more) { SHORTEST } else { interval }
            }
            Err(error) => {
                events::retry(&pipeline, "retention", &error, backoff.attempts());
                backoff.next_delay()
            }
        };
        tokio::time::sleep(pause).await;
    }
}
