//! `[source.kafka]`: which librdkafka properties may be set.
//!
//! An allow-list, for the rest can load code, write into logs what must not be there, or undo a promise.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::node::{Kind, Node};
use super::problem::{Place, Problem, Problems, Rule, nearest, printable};
use super::read::{Given, Read, given, joined, wrong_type};

/// What an allowed property takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Text,
    /// A secret, or what may be one.
    Secret,
    Flag,
    Number(i64, i64),
    Word(&'static [&'static str]),
}

use Takes::{Flag, Number, Secret, Text, Word};

const HOUR_MS: i64 = 3_600_000;

/// The allowed properties. Bounds are librdkafka's own.
const ALLOWED: &[(&str, Takes)] = &[
    ("security.protocol", Word(&["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])),
    // GSSAPI and OAUTHBEARER need libraries that are not linked.
    ("sasl.mechanism", Word(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])),
    ("sasl.mechanisms", Word(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])),
    ("sasl.username", Secret),
    ("sasl.password", Secret),
    ("ssl.ca.location", Text),
    ("ssl.ca.pem", Text),
    ("ssl.certificate.location", Text),
    ("ssl.certificate.pem", Text),
    ("ssl.key.location", Text),
    ("ssl.key.pem", Secret),
    ("ssl.key.password", Secret),
    ("ssl.keystore.location", Text),
    ("ssl.keystore.password", Secret),
    ("ssl.crl.location", Text),
    ("ssl.cipher.suites", Text),
    ("ssl.curves.list", Text),
    ("ssl.sigalgs.list", Text),
    ("ssl.endpoint.identification.algorithm", Word(&["https"])),
    ("client.rack", Text),
    ("client.dns.lookup", Word(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"])),
    ("broker.address.family", Word(&["any", "v4", "v6"])),
    ("broker.address.ttl", Number(0, 86_400_000)),
    ("socket.timeout.ms", Number(10, 300_000)),
    ("socket.connection.setup.timeout.ms", Number(1_000, i32::MAX as i64)),
    ("socket.keepalive.enable", Flag),
    ("socket.nagle.disable", Flag),
    ("socket.send.buffer.bytes", Number(0, 100_000_000)),
    ("socket.receive.buffer.bytes", Number(0, 100_000_000)),
    ("socket.max.fails", Number(0, 1_000_000)),
    ("connections.max.idle.ms", Number(0, i32::MAX as i64)),
    ("reconnect.backoff.ms", Number(0, HOUR_MS)),
    ("reconnect.backoff.max.ms", Number(0, HOUR_MS)),
    ("retry.backoff.ms", Number(1, 300_000)),
    ("retry.backoff.max.ms", Number(1, 300_000)),
    ("metadata.max.age.ms", Number(1, 86_400_000)),
    ("metadata.recovery.strategy", Word(&["none", "rebootstrap"])),
    ("fetch.min.bytes", Number(1, 100_000_000)),
    ("fetch.wait.max.ms", Number(0, 300_000)),
    ("fetch.error.backoff.ms", Number(0, 300_000)),
    ("receive.message.max.bytes", Number(1_000, i32::MAX as i64)),
    ("partition.assignment.strategy", Word(&["cooperative-sticky", "range"])),
    ("enable.metrics.push", Flag),
];

/// Properties that are refused, by name or (ending in `.`) by its beginning: why, and what to do instead.
const REFUSED: &[(&str, &str, &str)] = &[
    ("bootstrap.servers", "Tidegate sets it", "write brokers = [\"..\"] under [source]"),
    ("metadata.broker.list", "Tidegate sets it", "write brokers = [\"..\"] under [source]"),
    ("group.id", "Tidegate sets it", "write group = \"..\" under [source]"),
    ("group.instance.id", "Tidegate sets it", "write instance = \"..\" under [source]"),
    ("group.protocol", "Tidegate sets it", "write protocol = \"classic\" or \"consumer\" under [source]"),
    ("group.", "it belongs to the group protocol, which Tidegate manages", "remove it"),
    ("client.id", "Tidegate sets it from the pipeline's name", "remove it"),
    ("enable.auto.commit", "offsets move only after the database's commit", "remove it"),
    ("auto.commit.", "offsets move only after the database's commit", "remove it"),
    ("enable.auto.offset.store", "offsets move only after the database's commit", "remove it"),
    ("offset.store.", "positions are kept in the database", "remove it"),
    ("auto.offset.reset", "the database's positions decide", "write start and on_lost_position under [source]"),
    ("isolation.level", "Tidegate reads only what producers committed", "remove it"),
    ("session.timeout.ms", "Tidegate sets it so that a killed daemon is replaced within seconds", "remove it"),
    ("heartbeat.interval.ms", "Tidegate sets it with the session time-out", "remove it"),
    ("max.poll.interval.ms", "Tidegate polls on whatever the database does", "remove it"),
    ("enable.partition.eof", "Tidegate sets it, so that lag reaches 0", "remove it"),
    ("check.crcs", "Tidegate always checks them", "remove it"),
    ("queued.", "the prefetch follows the memory limit", "write [limits] memory in tidegate.toml"),
    ("fetch.queue.backoff.ms", "Tidegate sets it", "remove it"),
    ("fetch.max.bytes", "the prefetch follows the memory limit", "write [limits] memory in tidegate.toml"),
    ("fetch.message.max.bytes", "the prefetch follows the memory limit", "write [limits] memory in tidegate.toml"),
    ("max.partition.fetch.bytes", "the prefetch follows the memory limit", "write [limits] memory in tidegate.toml"),
    ("topic.metadata.refresh.", "Tidegate sets it, so that new partitions are found in time", "remove it"),
    ("statistics.interval.ms", "Tidegate's metrics depend on it", "remove it"),
    ("allow.auto.create.topics", "a consumer must not create topics", "create the topic in Kafka"),
    ("plugin.library.paths", "it loads foreign code into the process", "remove it"),
    ("interceptors", "it loads foreign code into the process", "remove it"),
    ("ssl.engine.", "it loads foreign code into the process", "write ssl.key.location or ssl.key.pem"),
    ("ssl.providers", "it loads foreign code into the process", "remove it"),
    (
        "sasl.kerberos.",
        "this build has no Kerberos, and kinit.cmd would run a command",
        "use SCRAM or a client certificate",
    ),
    (
        "sasl.oauthbearer.",
        "this build has no OAUTHBEARER; its URLs would be called from inside",
        "use SCRAM or a client certificate",
    ),
    ("enable.sasl.oauthbearer.unsecure.jwt", "it accepts unsigned tokens", "remove it"),
    (
        "enable.ssl.certificate.verification",
        "the broker's certificate is always checked",
        "write ssl.ca.location with the broker's CA",
    ),
    ("debug", "it would write secrets and records into the log", "raise [log] level in tidegate.toml"),
    ("log_level", "Tidegate sets it", "raise [log] level in tidegate.toml"),
    ("log.", "Tidegate sets it", "raise [log] level in tidegate.toml"),
    ("opaque", "it can only be set by code", "remove it"),
];

fn takes(name: &str) -> Option<Takes> {
    ALLOWED.iter().find(|(allowed, _)| *allowed == name).map(|(_, takes)| *takes)
}

fn refusal(name: &str) -> Option<(&'static str, &'static str)> {
    if name.ends_with("_cb") {
        return Some(("it can only be set by code", "remove it"));
    }
    let matches = |refused: &str| name == refused || (refused.ends_with('.') && name.starts_with(refused));
    REFUSED.iter().find(|(refused, ..)| matches(refused)).map(|(_, why, cure)| (*why, *cure))
}

/// Every allowed property, and what it takes in words.
pub fn allowed() -> impl Iterator<Item = (&'static str, String)> {
    ALLOWED.iter().map(|(name, takes)| {
        let takes = match takes {
            Text => "text".to_owned(),
            Secret => "text, never shown".to_owned(),
            Flag => "`true`, `false`".to_owned(),
            Number(least, most) => format!("whole number, {least} to {most}"),
            Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        };
        (*name, takes)
    })
}

/// Every property that is refused by name: its name, why, and what to do instead.
pub fn refusals() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    REFUSED.iter().copied()
}

/// The properties of a file, each allowed and of the right kind, in the order written.
#[derive(Debug, Default)]
pub struct Properties {
    pub given: Vec<(String, Given<String>)>,
    /// Every name written, also of those that were refused.
    written: Vec<String>,
}

impl Properties {
    fn is_written(&self, name: &str) -> bool {
        self.written.iter().any(|written| written == name)
    }

    pub fn get(&self, name: &str) -> Option<&Given<String>> {
        self.given.iter().find(|(property, _)| property == name).map(|(_, given)| given)
    }

    /// Secrets that stand in the file as they are.
    pub fn literal_secrets(&self) -> impl Iterator<Item = &str> {
        let literal = |(name, given): &&(String, Given<String>)| {
            takes(name) == Some(Secret) && name != "sasl.username" && given.is_literal()
        };
        self.given.iter().filter(literal).map(|(name, _)| name.as_str())
    }
}

impl Read for Properties {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(_) = node.kind else {
            wrong_type(node, option, "write a section [source.kafka] with a line per property", problems);
            return None;
        };
        let mut read = Self::default();
        collect(node, "", &mut read, problems);
        Some(read)
    }
}

/// `security.protocol = ".."` without quotes around the key is a table in a table: both are taken.
fn collect(node: &Node, prefix: &str, read: &mut Properties, problems: &mut Problems) {
    let Kind::Table(entries) = &node.kind else { return };
    for (key, node) in entries {
        let name = joined(prefix, key);
        read.written.push(name.clone());
        match node.kind {
            Kind::Broken => {}
            Kind::Table(_) => collect(node, &name, read, problems),
            _ => {
                if let Some(value) = property(&name, node, problems) {
                    read.given.push((name, given(node, value)));
                }
            }
        }
    }
}

fn property(name: &str, node: &Node, problems: &mut Problems) -> Option<String> {
    let Some(takes) = takes(name) else {
        problems.push(refused(name, &node.key));
        return None;
    };
    let text = match &node.kind {
        Kind::Text(text) => text.clone(),
        Kind::Integer(number) => number.to_string(),
        Kind::Bool(value) => value.to_string(),
        _ => {
            wrong_type(node, name, "write a text, a number, true or false", problems);
            return None;
        }
    };
    let wrong = |allowed: String, cure: &str| {
        let what = format!("`{name}` cannot be {}", node.shown());
        Problem::new(&node.place, Rule::Value, what, cure).allowed(allowed)
    };
    let problem = match takes {
        Text | Secret if text.is_empty() => {
            Problem::new(&node.place, Rule::Value, format!("`{name}` is empty"), "give its value or remove it")
        }
        Flag if text != "true" && text != "false" => wrong("true, false".to_owned(), "write true or false"),
        Number(least, most) if !text.parse().is_ok_and(|number: i64| (least..=most).contains(&number)) => {
            wrong(format!("{least} to {most}"), "write a number within these bounds")
        }
        Word(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(&text)) {
            // As the client spells it: it does not take every property's words in another case.
            Some(word) => return Some((*word).to_owned()),
            None => {
                let near = nearest(&text, words.iter().copied()).unwrap_or(words[words.len() - 1]);
                wrong(words.join(", "), &format!("write \"{near}\""))
            }
        },
        _ => return Some(text),
    };
    problems.push(problem);
    None
}

fn refused(name: &str, place: &Place) -> Problem {
    let shown = printable(name);
    if let Some((why, cure)) = refusal(name) {
        return Problem::new(place, Rule::Contradiction, format!("`{shown}` cannot be set here: {why}"), cure);
    }
    let cure = match nearest(name, ALLOWED.iter().map(|(name, _)| *name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove it; docs/configuration.md lists the allowed properties".to_owned(),
    };
    Problem::new(
        place,
        Rule::UnknownKey,
        format!("`{shown}` is no property that can be set under [source.kafka]"),
        cure,
    )
}

/// The property that a variable means: `SASL_PASSWORD` is `sasl.password`.
pub fn from_variable(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', ".")
}

/// What contradicts itself among the properties.
pub fn check(properties: &Properties, problems: &mut Problems) {
    if let (Some(_), Some(second)) = (properties.get("sasl.mechanism"), properties.get("sasl.mechanisms")) {
        let what = "`sasl.mechanism` and `sasl.mechanisms` are the same property";
        problems.push(Problem::new(&second.key, Rule::Contradiction, what, "keep one"));
    }
    let Some(given) = properties.get("security.protocol") else {
        // Where it was refused, what follows from it is unknown.
        if !properties.is_written("security.protocol") {
            without_effect(properties, "plaintext", problems);
        }
        return;
    };
    let protocol = given.value.to_ascii_lowercase();
    without_effect(properties, &protocol, problems);
    if !protocol.starts_with("sasl") {
        return;
    }
    for (names, cure) in [
        (
            &["sasl.mechanism", "sasl.mechanisms"][..],
            "write \"sasl.mechanism\" = \"SCRAM-SHA-512\", or what the brokers offer",
        ),
        (&["sasl.username"], "write \"sasl.username\" = \"..\""),
        (&["sasl.password"], "write \"sasl.password\" = \"${file:/run/secrets/..}\""),
    ] {
        if !names.iter().any(|name| properties.is_written(name)) {
            let what = format!("security.protocol asks for SASL, but `{}` is missing", names[0]);
            problems.push(Problem::new(&given.key, Rule::Missing, what, cure));
        }
    }
}

fn without_effect(properties: &Properties, protocol: &str, problems: &mut Problems) {
    for (name, given) in &properties.given {
        let needs = if name.starts_with("sasl.") && !protocol.starts_with("sasl") {
            "SASL_SSL"
        } else if name.starts_with("ssl.") && !protocol.ends_with("ssl") {
            "SSL"
        } else {
            continue;
        };
        let what = format!("`{name}` has no effect with security.protocol = \"{protocol}\"");
        let cure = format!("write \"security.protocol\" = \"{needs}\"");
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
    }
}

impl JsonSchema for Properties {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KafkaProperties".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let property = |takes: Takes| match takes {
            Text | Secret => json!({ "type": "string" }),
            Flag => json!({ "type": ["boolean", "string"], "enum": [true, false, "true", "false"] }),
            Number(least, most) => json!({ "type": ["integer", "string"], "minimum": least, "maximum": most }),
            Word(words) => {
                let upper =
                    words.iter().map(|word| word.to_uppercase()).filter(|upper| !words.contains(&upper.as_str()));
                let every: Vec<String> = words.iter().map(|word| (*word).to_owned()).chain(upper).collect();
                json!({ "type": "string", "enum": every })
            }
        };
        let properties: serde_json::Map<String, Value> =
            ALLOWED.iter().map(|(name, takes)| ((*name).to_owned(), property(*takes))).collect();
        // Not closed: an unquoted key with points in it is a table, and it is read too.
        json_schema!({ "type": "object", "properties": properties })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_property_is_both_allowed_and_refused() {
        for (name, _) in ALLOWED {
            assert_eq!(refusal(name), None, "{name}");
        }
    }

    #[test]
    fn what_is_dangerous_or_ours_is_refused_with_a_reason() {
        for name in [
            "enable.auto.commit",
            "auto.offset.reset",
            "group.id",
            "group.remote.assignor",
            "isolation.level",
            "plugin.library.paths",
            "debug",
            "ssl.engine.location",
            "enable.ssl.certificate.verification",
            "rebalance_cb",
            "ssl.certificate.verify_cb",
            "sasl.oauthbearer.token.endpoint.url",
            "sasl.kerberos.kinit.cmd",
            "session.timeout.ms",
        ] {
            assert!(refusal(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_client_knows_every_allowed_property_and_takes_its_bounds_and_words() {
        for (name, takes) in ALLOWED {
            let values: Vec<String> = match takes {
                Text | Secret => vec!["x".to_owned()],
                Flag => vec!["true".to_owned(), "false".to_owned()],
                Number(least, most) => vec![least.to_string(), most.to_string()],
                Word(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            };
            for value in values {
                let set = rdkafka::ClientConfig::new().set(*name, &value).create_native_config();
                assert!(set.is_ok(), "{name} = {value}: {:?}", set.err());
            }
        }
    }
}
