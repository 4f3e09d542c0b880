//! `tidegate offsets`

mod change;
mod show;

use std::path::PathBuf;

use crate::config::{self, Pipeline};
use crate::pipeline::positions::PositionsError;

use super::{CONFIGURATION_WRONG, Context, Stop};

/// Look at a pipeline's positions, or set them
#[derive(Debug, clap::Args)]
pub struct Offsets {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Show(show::Show),
    Set(change::Set),
    Reset(change::Reset),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Offsets {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        match self.action {
            Action::Show(show) => show.execute(context),
            Action::Set(set) => set.execute(context),
            Action::Reset(reset) => reset.execute(context),
        }
    }
}

/// The one pipeline of a file.
fn load(file: PathBuf, context: &Context) -> Result<Pipeline, Stop> {
    let mut pipelines = config::load_pipelines(&[file], &context.environment)?;
    match (pipelines.pop(), pipelines.is_empty()) {
        (Some(pipeline), true) => Ok(pipeline),
        _ => Err(Stop::new(CONFIGURATION_WRONG, "name one pipeline file")),
    }
}

impl From<PositionsError> for Stop {
    fn from(error: PositionsError) -> Self {
        let code = if matches!(error, PositionsError::Refused(_)) { CONFIGURATION_WRONG } else { 1 };
        Self::new(code, error.to_string())
    }
}

/// Columns as wide as their widest cell; numbers to the right.
fn print_table<const N: usize>(rows: &[[String; N]]) {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| {
            if cell.parse::<i64>().is_ok() { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A number, or that there is none.
fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
