//! A record that cannot be stored, kept as it came with the reason.

use crate::privacy::Privacy;
use crate::records::Record;

/// Where a record failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    Decode,
    Check,
    Transform,
    Write,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Check => "check",
            Self::Transform => "transform",
            Self::Write => "write",
        }
    }
}

/// Why one record cannot be stored. Goes into logs, so it holds no value of the record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    pub stage: Stage,
    /// The stable name of the kind of fault: `invalid-json`, `out-of-range`, `wrong-type`, `not-null`, `unique` ...
    pub class: &'static str,
    /// The database's code (SQLSTATE or error number), empty for our own.
    pub code: String,
    /// One sentence for the operator: which field or column, what was expected, what was found (its kind, not its
    /// content).
    pub reason: String,
    /// The column concerned, where it is known.
    pub column: Option<String>,
}

/// One row of `tidegate_dead_letters`: the original bytes with where they came from and what is wrong with them. With
/// `[privacy]` the bytes are hidden (`privacy.rs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// A JSON array of `[name, base64 of the value or null]`, in the record's order; names that are not UTF-8 are
    /// themselves `{"base64": ".."}`.
    pub headers: String,
    pub fault: Fault,
}

impl DeadLetter {
    /// `privacy`: of the pipeline, which decides what is kept of the record.
    pub fn new(record: Record<'_>, fault: Fault, privacy: Option<&Privacy>) -> Self {
        let letter = Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers_as_json(record),
            fault,
        };
        match privacy {
            Some(privacy) => privacy.protect(letter),
            None => letter,
        }
    }
}

fn headers_as_json(record: Record<'_>) -> String {
    use base64::Engine;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let headers = record.headers().map(|(name, value)| {
        let name = match std::str::from_utf8(name) {
            Ok(name) => serde_json::Value::from(name),
            Err(_) => serde_json::json!({ "base64": encode(name) }),
        };
        serde_json::json!([name, value.map(encode)])
    });
    serde_json::Value::Array(headers.collect()).to_string()
}
