//! A member's place in its consumer group, as a transaction shows it to the group's coordinator.

use rdkafka::consumer::ConsumerGroupMetadata;

/// The group's generation and the member's id at one moment. The coordinator takes a transaction's offsets only while
/// both still hold (KIP-447): that is the fence.
pub struct Membership(ConsumerGroupMetadata);

impl Membership {
    /// `metadata` must be of a member: the coordinator takes a transaction's offsets from anybody who shows neither a
    /// generation nor a member's id, as clients before KIP-447 did.
    pub(crate) fn of_member(metadata: ConsumerGroupMetadata) -> Self {
        Self(metadata)
    }

    pub(crate) fn metadata(&self) -> &ConsumerGroupMetadata {
        &self.0
    }
}
