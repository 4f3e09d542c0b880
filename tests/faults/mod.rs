//! The promises under faults: the real binary as child processes, killed, frozen, cut off and stopped, on every
//! database. `TIDEGATE_FAULT_ROUNDS` says how often a daemon is killed per test.

mod blocked;
mod ends;
mod exchange;
mod following;
mod kills;
mod load;
mod lost;
mod network;
mod offsets;
pub mod proxy;
mod scene;
mod servers;
mod topics;
mod unassigned;
mod until;
mod zombie;

/// A test per database of one function that takes its kind.
macro_rules! on_databases {
    ([$($database:ident => $kind:ident),+]: $test:ident) => {
        mod $test {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $database() {
                    super::$test(crate::support::database::Kind::$kind).await;
                }
            )+
        }
    };
}

macro_rules! on_every_database {
    ($($test:ident),+) => {
        $(super::on_databases!([postgres => Postgres, mariadb => MariaDb, mysql => MySql, sqlite => Sqlite]: $test);)+
    };
}

use {on_databases, on_every_database};

/// How often a daemon is killed in a test.
fn rounds() -> usize {
    std::env::var("TIDEGATE_FAULT_ROUNDS").ok().map_or(8, |rounds| rounds.parse().expect("a number"))
}
