//! `tidegate migrate`

use std::path::PathBuf;

use crate::config::{self, Target};
use crate::write;

use super::{Context, Stop, runtime};

/// Create Tidegate's own tables in the sink database
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// The pipeline file
    file: PathBuf,
    /// Print the DDL instead of running it, for a role that may create tables
    #[arg(long)]
    print: bool,
}

impl Migrate {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        for pipeline in config::load_pipelines(&[self.file], &context.environment)? {
            let Target::Database(sink) = &pipeline.sink else {
                println!("{}: without a database there are no tables of Tidegate's.", pipeline.name);
                continue;
            };
            if self.print {
                print!("{}", write::ddl(sink));
                continue;
            }
            let migrate = async { write::open(&pipeline, sink, vec![None; pipeline.tables.len()]).migrate().await };
            let migrated = runtime()?.block_on(migrate);
            migrated.map_err(|error| Stop::new(1, format!("{}: {error}", pipeline.name)))?;
            println!("{}: Tidegate's tables are there.", pipeline.name);
        }
        Ok(0)
    }
}
