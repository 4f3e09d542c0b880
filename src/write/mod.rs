//! Write: rows, dead letters and positions in one transaction. The only place that names sqlx; one folder a database.
//!
//! ```text
//! Rows --planner--> TablePlan --reduce--> Steps --transaction--> Session (postgres | mysql | sqlite) --> Durable
//! ```

pub mod catalog;
pub mod create;
pub mod error;
pub mod plan;
pub mod session;
pub mod step;

mod claim;
mod destination;
mod keys;
mod ledger;
pub mod lookup;
mod merge;
mod merged;
pub mod mysql;
mod planner;
pub mod postgres;
mod preview;
pub mod reduce;
mod retention;
mod routes;
#[allow(unsafe_code, reason = "sqlx does not hand out its sockets; they are found by number")]
mod socket;
pub mod sqlite;
mod texts;
mod transaction;
mod trial;

pub use claim::{ClaimOutcome, ClaimRequest};
pub use destination::{Batch, Destination, Durable, Prepared, TableRows, Writer, ddl, open};
pub use ledger::{Expected, Ledger, SetPosition, SetPositions, StoredPosition, ledger};
pub use lookup::{LookupReader, LookupTable, Tables as LookupTables};
pub use merged::Partial;
pub use planner::{holds_every_value, imagined};
pub use preview::{Preview, preview};
pub use retention::Retained;
pub use routes::Routes;
pub use step::RowCounts;
pub use trial::Trial;
