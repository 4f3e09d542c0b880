//! What has to be known of the database before anything is read of Kafka.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::config::Pipeline;
use crate::events;
use crate::retry::{Backoff, Disposition};
use crate::status::Status;
use crate::write::Prepared;
use crate::write::error::WriteError;

use super::coordinator::{Failure, Setting};
use super::lookup_tables;
use super::outlet::Outlet;
use super::turned_true;

/// The columns of lookups that only the database knows, however long that takes. `None`: stopped meanwhile.
pub async fn completed(mut setting: Setting) -> Result<Option<Setting>, Failure> {
    const PART: &str = "database";
    if !lookup_tables::is_incomplete(&setting.pipeline) {
        return Ok(Some(setting));
    }
    let mut pipeline = Pipeline::clone(&setting.pipeline);
    let mut backoff = Backoff::new();
    let mut stop = setting.stop.clone();
    loop {
        let error = tokio::select! {
            () = turned_true(&mut stop) => return Ok(None),
            completed = lookup_tables::complete(&mut pipeline) => match completed {
                Ok(Ok(())) => break,
                Ok(Err(problems)) => return Err(Failure::Configuration(problems.to_string())),
                Err(error) => error,
            },
        };
        if error.disposition == Disposition::Block {
            return Err(Failure::Configuration(error.to_string()));
        }
        setting.status.report(PART, error.disposition, error.to_string());
        events::retry(setting.status.name(), "prepare", &error, backoff.attempts());
        tokio::select! {
            () = turned_true(&mut stop) => return Ok(None),
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
    setting.status.clear(PART);
    setting.pipeline = Arc::new(pipeline);
    Ok(Some(setting))
}

/// Prepares the database, however long that takes. The first answer decides whether the configuration is wrong: later
/// on the same refusal means that something changed under a running pipeline, which is waited out.
pub async fn prepare(
    outlet: Outlet,
    pipeline: Arc<Pipeline>,
    status: Arc<Status>,
    prepared: oneshot::Sender<Result<Prepared, String>>,
) {
    let part = outlet.name();
    let mut backoff = Backoff::new();
    let outcome = loop {
        let error: WriteError = match outlet.prepare(&pipeline).await {
            Ok(prepared) => {
                if status.clear(part) {
                    events::recovered(status.name(), part);
                }
                break Ok(prepared);
            }
            Err(error) => error,
        };
        if error.disposition == Disposition::Block {
            break Err(error.to_string());
        }
        status.report(part, error.disposition, error.to_string());
        events::retry(status.name(), "prepare", &error, backoff.attempts());
        tokio::time::sleep(backoff.next_delay()).await;
    };
    let _ = prepared.send(outcome);
}
