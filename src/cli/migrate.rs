//! `tidegate migrate`

use std::path::PathBuf;

use crate::config;
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
            if self.print {
                print!("{}", write::ddl(&pipeline.sink));
                continue;
            }
            let migrate = async { write::open(&pipeline, vec![None; pipeline.tables.len()]).migrate().await };
            let migrated = runtime()?.block_on(migrate);
            migrated.map_err(|error| Stop::new(1, format!("{}: {error}", pipeline.name)))?;
            println!("{}: Tidegate's tables are there.", pipeline.name);
        }
        Ok(0)
    }
}
