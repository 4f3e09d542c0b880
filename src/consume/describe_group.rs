//! The members of a consumer group and what each of them holds, as the group's coordinator has it.

use std::ffi::{CString, c_char};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::admin;
use crate::offsets::TopicPartition;

#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// Every member has its assignment, and no rebalance is going on.
    pub(super) is_stable: bool,
    pub(super) members: Vec<Member>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: String,
    /// Of a static member, where the broker tells it (Kafka 2.4).
    pub(super) instance: Option<String>,
    /// Where it connects from, as the broker sees it: `/10.0.0.7`.
    pub(super) host: String,
    pub(super) partitions: Vec<TopicPartition>,
}

/// # Errors
/// The request's error, or the group's.
///
/// # Safety
/// `client` is a live client for as long as the call takes.
pub(super) unsafe fn describe(
    client: *mut sys::rd_kafka_t,
    group: &str,
    limit: Duration,
) -> Result<Group, RDKafkaErrorCode> {
    let group = CString::new(group).map_err(|_| RDKafkaErrorCode::InvalidGroupId)?;
    let mut names: [*const c_char; 1] = [group.as_ptr()];
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    // SAFETY: the client is alive (the caller's promise); the name outlives the request, which copies it; what the
    // result holds is read before the event is freed.
    unsafe {
        let event = admin::ask(client, operation, None, limit, |options, queue| {
            sys::rd_kafka_DescribeConsumerGroups(client, names.as_mut_ptr(), names.len(), options, queue);
        })?;
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.pointer);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Inconsistent);
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if groups.is_null() || count != 1 {
            return Err(RDKafkaErrorCode::Inconsistent);
        }
        read(*groups)
    }
}

/// # Safety
/// `group` belongs to a result that is alive.
unsafe fn read(group: *const sys::rd_kafka_ConsumerGroupDescription_t) -> Result<Group, RDKafkaErrorCode> {
    // SAFETY: the caller's promise; the members asked for are those that there are.
    unsafe {
        admin::check_error(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        let members = 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        Ok(Group {
            is_stable: state == sys::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE,
            members: members
                .map(|index| member(sys::rd_kafka_ConsumerGroupDescription_member(group, index)))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// # Safety
/// `member` is null or belongs to a result that is alive.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> Result<Member, RDKafkaErrorCode> {
    if member.is_null() {
        return Err(RDKafkaErrorCode::Inconsistent);
    }
    // SAFETY: the caller's promise; each pointer is checked before it is read, and a list has `cnt` elements.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let list =
            if assignment.is_null() { std::ptr::null() } else { sys::rd_kafka_MemberAssignment_partitions(assignment) };
        let elements = match list.as_ref() {
            Some(list) if list.cnt > 0 => std::slice::from_raw_parts(list.elems, list.cnt as usize),
            _ => &[],
        };
        let partition = |element: &sys::rd_kafka_topic_partition_t| {
            Some(TopicPartition::new(&*admin::text(element.topic)?, element.partition))
        };
        Ok(Member {
            id: admin::text(sys::rd_kafka_MemberDescription_consumer_id(member)).unwrap_or_default(),
            instance: admin::text(sys::rd_kafka_MemberDescription_group_instance_id(member)),
            host: admin::text(sys::rd_kafka_MemberDescription_host(member)).unwrap_or_default(),
            partitions: elements.iter().filter_map(partition).collect(),
        })
    }
}
