//! A record that could not be stored, as a record of the topic of dead letters.

use rdkafka::message::{Header, OwnedHeaders};

use crate::dead_letter::DeadLetter;
use crate::records::Record;

/// The record's own headers as they came, then ours: where it comes from and what is wrong with it. `own`: the record,
/// unless its headers are private; what is kept of them then is one of ours.
pub(super) fn headers(pipeline: &str, letter: &DeadLetter, own: Option<Record<'_>>, source: &str) -> OwnedHeaders {
    let add = |headers: OwnedHeaders, (name, value): (&[u8], Option<&[u8]>)| {
        // Kafka's names are texts; what is none could not have been written by a client that follows the protocol.
        headers.insert(Header { key: &String::from_utf8_lossy(name), value })
    };
    let headers = own.into_iter().flat_map(|record| record.headers()).fold(OwnedHeaders::new(), add);
    let DeadLetter { topic, partition, offset, timestamp, fault, .. } = letter;
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let timestamp = timestamp.map(|time| time.to_string());
    let ours = [
        ("tidegate-source", Some(source)),
        ("tidegate-pipeline", Some(pipeline)),
        ("tidegate-topic", Some(topic.as_str())),
        ("tidegate-partition", Some(partition.as_str())),
        ("tidegate-offset", Some(offset.as_str())),
        ("tidegate-timestamp", timestamp.as_deref()),
        ("tidegate-headers", own.is_none().then_some(letter.headers.as_str())),
        ("tidegate-stage", Some(fault.stage.name())),
        ("tidegate-class", Some(fault.class)),
        ("tidegate-code", Some(fault.code.as_str()).filter(|code| !code.is_empty())),
        ("tidegate-column", fault.column.as_deref()),
        ("tidegate-reason", Some(fault.reason.as_str())),
    ];
    let ours = ours.into_iter().filter_map(|(name, value)| Some((name, value?)));
    ours.fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::message::Headers as _;

    use super::*;
    use crate::dead_letter::{Fault, Stage};
    use crate::lease::Lease;
    use crate::offsets::TopicPartition;
    use crate::records::Records;

    #[test]
    fn the_records_own_headers_come_first_and_ours_say_why() {
        let lease = Arc::new(Lease::new(TopicPartition::new("orders", 3), 1, 7));
        let mut records = Records::default();
        let own = [(&b"trace"[..], Some(&[0, 255][..])), (&b"none"[..], None), (&b"empty"[..], Some(&[][..]))];
        records.push(&lease, 7, 7, Some(1_000), None, Some(b"x"), own.into_iter()).unwrap();
        let fault = Fault {
            stage: Stage::Write,
            class: "unique",
            code: "23505".to_owned(),
            reason: "why".to_owned(),
            column: None,
        };
        let letter = DeadLetter::new(records.get(0), fault, None);
        let list = |headers: OwnedHeaders| -> Vec<_> {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        };
        let found = list(headers("p", &letter, Some(records.get(0)), "orders/3/7/0"));
        let private = list(headers("p", &letter, None, "orders/3/7/0"));
        assert!(!private.iter().any(|(name, _)| name == "trace"), "{private:?}");
        assert!(private.contains(&("tidegate-headers".to_owned(), Some(letter.headers.into_bytes()))), "{private:?}");
        let text = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        assert_eq!(
            found,
            [
                ("trace".to_owned(), Some(vec![0, 255])),
                ("none".to_owned(), None),
                ("empty".to_owned(), Some(Vec::new())),
                text("tidegate-source", "orders/3/7/0"),
                text("tidegate-pipeline", "p"),
                text("tidegate-topic", "orders"),
                text("tidegate-partition", "3"),
                text("tidegate-offset", "7"),
                text("tidegate-timestamp", "1000"),
                text("tidegate-stage", "write"),
                text("tidegate-class", "unique"),
                text("tidegate-code", "23505"),
                text("tidegate-reason", "why"),
            ]
        );
    }
}
