//! `[privacy]`: what a dead letter keeps of a record with private columns, and how it is opened again.
//!
//! The column `headers` says which form a row has: a JSON array is the record's headers, and key and value are the
//! record's bytes; `{"encrypted": "tg1.."}` holds the headers, and key and value are such texts as well; with
//! `{"withheld": true}` the record was not kept. No record can look like another form: `headers` is always ours.

use serde_json::{Value, json};

use crate::dead_letter::DeadLetter;
use crate::keys::{Closed, Key, Keys, Sealer};

/// What is in the place of a key or value that is not kept. Null would be a tombstone.
const WITHHELD: &[u8] = b"withheld";

/// Which columns are private, and what hides the records that hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privacy {
    /// Input columns.
    pub columns: Vec<String>,
    /// `None`: dead letters do not keep the record.
    pub key: Option<Key>,
}

/// Why a dead letter's record cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    #[error("the record was not kept: [privacy] had no key")]
    Withheld,
    #[error(
        "the record was encrypted with the key {0}, which [keys] does not have: put it back, or the record is lost"
    )]
    UnknownKey(String),
    #[error("the record cannot be decrypted: the row was changed, or [keys] has another key of the same id")]
    Refused,
    #[error("the column headers has none of the forms that Tidegate writes")]
    Malformed,
}

impl From<Closed> for NotOpened {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Malformed => Self::Malformed,
            Closed::UnknownKey(id) => Self::UnknownKey(id),
            Closed::Refused => Self::Refused,
        }
    }
}

impl Privacy {
    /// The dead letter without a byte of its record in clear.
    pub fn protect(&self, letter: DeadLetter) -> DeadLetter {
        match &self.key {
            Some(key) => sealed(letter, &key.sealer()),
            None => withheld(letter),
        }
    }
}

fn sealed(letter: DeadLetter, sealer: &Sealer) -> DeadLetter {
    let seal = |field: &str, bytes: &[u8]| sealer.seal(bytes, &context(&letter, field));
    let key = letter.key.as_ref().map(|key| seal("key", key).into_bytes());
    let value = letter.value.as_ref().map(|value| seal("value", value).into_bytes());
    let headers = json!({ "encrypted": seal("headers", letter.headers.as_bytes()) }).to_string();
    DeadLetter { key, value, headers, ..letter }
}

/// A field of one row cannot stand in for that of another.
fn context(letter: &DeadLetter, field: &str) -> Vec<u8> {
    format!("dead-letter {field} {} {} {}", letter.topic, letter.partition, letter.offset).into_bytes()
}

fn withheld(mut letter: DeadLetter) -> DeadLetter {
    letter.key = letter.key.map(|_| WITHHELD.to_vec());
    letter.value = letter.value.map(|_| WITHHELD.to_vec());
    letter.headers = json!({ "withheld": true }).to_string();
    letter.fault.reason.push_str("; [privacy] has no key, so the record is not kept and cannot be replayed");
    letter
}

impl DeadLetter {
    /// The dead letter with its record in clear; one that is not encrypted is returned as it is.
    ///
    /// # Errors
    /// The record was not kept, or the key that opens it is not there.
    pub fn opened(self, keys: &Keys) -> Result<Self, NotOpened> {
        let headers: Value = serde_json::from_str(&self.headers).map_err(|_| NotOpened::Malformed)?;
        if headers.is_array() {
            return Ok(self);
        }
        if headers.get("withheld").is_some() {
            return Err(NotOpened::Withheld);
        }
        let sealed = headers.get("encrypted").and_then(Value::as_str).ok_or(NotOpened::Malformed)?;
        let mut opener = keys.opener();
        let mut open = |field: &str, text: &[u8]| {
            let text = std::str::from_utf8(text).map_err(|_| NotOpened::Malformed)?;
            opener.open(text, &context(&self, field)).map_err(NotOpened::from)
        };
        let headers = String::from_utf8(open("headers", sealed.as_bytes())?).map_err(|_| NotOpened::Malformed)?;
        let key = self.key.as_deref().map(|key| open("key", key)).transpose()?;
        let value = self.value.as_deref().map(|value| open("value", value)).transpose()?;
        Ok(Self { key, value, headers, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::{Fault, Stage};
    use crate::keys::LENGTH;

    const CANARY: &str = "c4n4ry";

    fn letter(value: Option<&[u8]>) -> DeadLetter {
        let fault = Fault {
            stage: Stage::Decode,
            class: "wrong-type",
            code: String::new(),
            reason: "field email: a number".to_owned(),
            column: Some("email".to_owned()),
        };
        DeadLetter {
            topic: "people".to_owned(),
            partition: 3,
            offset: 7,
            timestamp: Some(1),
            key: Some(format!("key {CANARY}").into_bytes()),
            value: value.map(<[u8]>::to_vec),
            headers: format!(r#"[["tenant","{CANARY}"]]"#),
            fault,
        }
    }

    fn privacy(key: Option<Key>) -> Privacy {
        Privacy { columns: vec!["email".to_owned()], key }
    }

    fn shown(letter: &DeadLetter) -> String {
        let bytes =
            |bytes: &Option<Vec<u8>>| bytes.as_deref().map(String::from_utf8_lossy).map(|text| text.into_owned());
        format!("{:?} {:?} {letter:?}", bytes(&letter.key), bytes(&letter.value))
    }

    #[test]
    fn an_encrypted_dead_letter_is_opened_by_its_key() {
        let keys: Keys = ["k1", "k2"].map(|id| Key::new(id, [id.as_bytes()[1]; LENGTH])).into_iter().collect();
        let privacy = privacy(keys.get("k1").cloned());
        for value in [Some(format!("{{\"email\": \"{CANARY}\"}}").into_bytes()), Some(b"\xff\0".to_vec()), None] {
            let plain = letter(value.as_deref());
            let kept = privacy.protect(plain.clone());
            assert!(!shown(&kept).contains(CANARY), "{kept:?}");
            assert_eq!((kept.value.is_none(), &kept.fault), (value.is_none(), &plain.fault), "a tombstone stays one");
            assert_eq!(kept.clone().opened(&keys), Ok(plain));
            assert_eq!(kept.clone().opened(&Keys::default()), Err(NotOpened::UnknownKey("k1".to_owned())));
            // Another row's fields, and fields of the same row in each other's place.
            let elsewhere = DeadLetter { offset: 8, ..kept.clone() };
            assert_eq!(elsewhere.opened(&keys), Err(NotOpened::Refused));
            let swapped = DeadLetter { value: kept.key.clone(), ..kept };
            assert_eq!(swapped.opened(&keys), Err(NotOpened::Refused));
        }
    }

    #[test]
    fn without_a_key_nothing_is_kept_and_the_row_says_so() {
        let kept = privacy(None).protect(letter(Some(CANARY.as_bytes())));
        assert!(!shown(&kept).contains(CANARY), "{kept:?}");
        assert!(kept.fault.reason.ends_with("cannot be replayed"), "{}", kept.fault.reason);
        assert_eq!(kept.opened(&Keys::default()), Err(NotOpened::Withheld));
        assert_eq!(privacy(None).protect(letter(None)).value, None, "a tombstone stays one");
    }

    #[test]
    fn a_plain_dead_letter_stays_as_it_is_whatever_its_bytes_look_like() {
        let keys: Keys = [Key::new("k1", [1; LENGTH])].into_iter().collect();
        let text = keys.get("k1").expect("a key").sealer().seal(b"x", b"");
        let plain = letter(Some(text.as_bytes()));
        assert_eq!(plain.clone().opened(&keys), Ok(plain));
        for headers in ["", "{}", "null", "{\"encrypted\": 1}", "{\"encrypted\": \"x\"}"] {
            let broken = DeadLetter { headers: headers.to_owned(), ..letter(None) };
            assert_eq!(broken.opened(&keys), Err(NotOpened::Malformed), "{headers}");
        }
    }
}
