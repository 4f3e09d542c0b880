//! `tidegate completions`

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Stop};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn execute(self) -> Result<u8, Stop> {
        clap_complete::generate(self.shell, &mut Cli::command(), "tidegate", &mut std::io::stdout());
        Ok(0)
    }
}
