//! `tidegate schema`

use super::Stop;

/// Print the JSON Schema of the pipeline file, for editors
#[derive(Debug, clap::Args)]
pub struct Schema {}

impl Schema {
    pub fn execute(self) -> Result<u8, Stop> {
        println!("{}", crate::config::schema::schema());
        Ok(0)
    }
}
