//! `tidegate run --until`: a bar on a terminal, lines elsewhere, and the end when all positions are there.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Pipeline;
use crate::pipeline::positions::PositionsError;
use crate::pipeline::until::{Goal, Progress, Until};
use crate::retry::{Backoff, Disposition};

use super::{CONFIGURATION_WRONG, Stop};

/// How often the stored positions are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is told where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// `end`, or an RFC 3339 time.
pub(super) fn until(text: &str) -> Result<Until, String> {
    if text == "end" {
        return Ok(Until::End);
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(Until::Time(time.as_millisecond().max(0))),
        Err(_) if text.parse::<jiff::civil::DateTime>().is_ok() => {
            Err("add the zone, such as 2026-11-01T00:00:00Z".to_owned())
        }
        Err(_) => Err("write end, or a time such as 2026-11-01T00:00:00Z".to_owned()),
    }
}

/// On a terminal. The log must go past it.
pub(super) fn bar() -> Option<ProgressBar> {
    let style = "{bar:30} {percent} % {human_pos} of {human_len} records {per_sec} {eta} left";
    std::io::stderr()
        .is_terminal()
        .then(|| ProgressBar::new(0).with_style(ProgressStyle::with_template(style).expect("the template is right")))
}

/// The ends of all pipelines, however long the brokers take to answer. `None`: told to stop before.
pub(super) async fn resolve(
    pipelines: &[Pipeline],
    until: Until,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Vec<Goal>>, Stop> {
    let mut goals = Vec::with_capacity(pipelines.len());
    for pipeline in pipelines.iter().cloned().map(Arc::new) {
        let mut backoff = Backoff::new();
        loop {
            match Goal::resolve(pipeline.clone(), until).await {
                Ok(goal) => break goals.push(goal),
                Err(error) if passes(&error) => tracing::warn!(pipeline = pipeline.name, "{error}"),
                Err(error) => return Err(Stop::new(CONFIGURATION_WRONG, format!("{}: {error}", pipeline.name))),
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = async { drop(stop.wait_for(|stop| *stop).await.map(drop)) } => return Ok(None),
            }
        }
    }
    Ok(Some(goals))
}

fn passes(error: &PositionsError) -> bool {
    match error {
        PositionsError::Kafka(error) => error.disposition == Disposition::Retry,
        PositionsError::Database(error) => error.disposition == Disposition::Retry,
        // Kafka did not answer.
        PositionsError::Refused(_) => true,
    }
}

/// Resolves when all positions have reached their ends.
pub(super) async fn reached(goals: &[Goal], bar: Option<&ProgressBar>) {
    let mut told = Instant::now();
    loop {
        // A store that cannot be asked is for the pipeline to tell.
        if let Ok(progress) = progress(goals).await {
            let Progress { done, total, open } = progress;
            if let Some(bar) = bar {
                bar.set_length(total.unsigned_abs());
                bar.set_position(done.unsigned_abs());
            }
            if open == 0 {
                if let Some(bar) = bar {
                    bar.finish();
                }
                tracing::info!("all {total} records are stored: the end of this run");
                return;
            }
            if bar.is_none() && told.elapsed() >= LINE {
                told = Instant::now();
                tracing::info!("{done} of {total} records are stored, {open} partitions are not at their end");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn progress(goals: &[Goal]) -> Result<Progress, PositionsError> {
    let mut sum = Progress::default();
    for goal in goals {
        sum = sum + goal.progress().await?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_the_end_or_a_time() {
        assert_eq!(until("end"), Ok(Until::End));
        assert_eq!(until("1970-01-01T00:00:02Z"), Ok(Until::Time(2_000)));
        assert!(until("2026-11-01T00:00:00").unwrap_err().contains("add the zone"));
        assert!(until("now").unwrap_err().contains("write end"));
    }
}
