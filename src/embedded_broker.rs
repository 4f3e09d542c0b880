//! A Kafka inside the process, for the demo: librdkafka's mock cluster, one broker on a local port.
//!
//! It speaks the real protocol, groups included, but it is no store: it keeps only the newest 5 MiB of each partition
//! and drops what is older without a word. Whoever feeds it must not run further ahead of the consumer than that.

use std::sync::mpsc;

use rdkafka::mocking::MockCluster;

use crate::kafka::errors::{self, Failure};
use crate::retry::Disposition;

/// What the cluster keeps of each partition, in bytes; it has no setting for it.
pub const KEPT_BYTES_PER_PARTITION: usize = 5 << 20;

/// Runs until it is dropped.
#[derive(Debug)]
pub struct EmbeddedBroker {
    address: String,
    /// The cluster's handle stays on one thread, which ends when this disconnects.
    _running: mpsc::SyncSender<()>,
}

impl EmbeddedBroker {
    /// Starts a broker that has this topic. Clients cannot create others.
    ///
    /// # Errors
    /// When there is no local port, or no such topic can be.
    pub fn start(topic: &str, partitions: i32) -> Result<Self, Failure> {
        let (running, ended) = mpsc::sync_channel(0);
        let (started, result) = mpsc::sync_channel(1);
        let topic = topic.to_owned();
        let work = move || {
            let cluster = MockCluster::new(1).and_then(|cluster| {
                cluster.create_topic(&topic, partitions, 1)?;
                Ok(cluster)
            });
            match cluster {
                Ok(cluster) => {
                    let _ = started.send(Ok(cluster.bootstrap_servers()));
                    let _: Result<(), mpsc::RecvError> = ended.recv();
                }
                Err(cause) => {
                    let _ = started.send(Err(errors::of_client(&cause, "the embedded broker could not be started")));
                }
            }
        };
        let system = |cause: &dyn std::fmt::Display| Failure {
            disposition: Disposition::Block,
            class: "system",
            message: format!("the embedded broker could not be started: {cause}"),
        };
        std::thread::Builder::new().name("broker".to_owned()).spawn(work).map_err(|cause| system(&cause))?;
        let address = result.recv().map_err(|cause| system(&cause))??;
        Ok(Self { address, _running: running })
    }

    /// For `source.brokers`.
    pub fn address(&self) -> &str {
        &self.address
    }
}
