//! The keys of `[keys]`: what hides values, and what shows them again. The only file that names a cipher.
//!
//! A hidden value is text: `tg1.<key id>.<base64url>`. The base64url is without padding and holds
//! `salt (16 bytes) | nonce (12) | ciphertext | tag (16)`: AES-256-GCM under HKDF-SHA-256(secret, salt, "tidegate
//! encrypt"). A salt of its own for each batch keeps every derived key far from the number of random nonces that GCM
//! bears. `tg1d.<key id>.<base64url>` is the deterministic form, `ciphertext | tag (16)`: AES-256-GCM-SIV (RFC 8452)
//! with a nonce of zeros under HKDF-SHA-256(secret, no salt, "tidegate encrypt_deterministic"). The text up to the last
//! dot is authenticated, and after it the context that the value belongs to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aes_gcm_siv::aead::{Aead as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};

/// Bytes of a key.
pub const LENGTH: usize = 32;

const RANDOM: &str = "tg1";
const DETERMINISTIC: &str = "tg1d";
const SALT_LENGTH: usize = 16;
const TAG_LENGTH: usize = 16;

/// One key. No form of it shows its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: Arc<str>,
    secret: [u8; LENGTH],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// `secret`: random bytes.
    pub fn new(id: &str, secret: [u8; LENGTH]) -> Self {
        Self { id: id.into(), secret }
    }

    /// The key that stands for this one where nothing real is hidden: the same on every machine.
    pub fn of_tests(id: &str) -> Self {
        Self::new(id, secret_of_tests(id))
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Hashes values under the key as it is, so that others can compute the same.
    pub fn hasher(&self) -> Hasher {
        Hasher(hmac::Key::new(hmac::HMAC_SHA256, &self.secret))
    }

    /// Hides values; each call gives another text.
    pub fn sealer(&self) -> Sealer {
        let salt = random();
        Sealer {
            head: format!("{RANDOM}.{}.", self.id),
            cipher: SealingCipher::Random { salt, cipher: self.random_cipher(&salt) },
        }
    }

    /// Hides values; equal values give equal texts.
    pub fn deterministic_sealer(&self) -> Sealer {
        Sealer {
            head: format!("{DETERMINISTIC}.{}.", self.id),
            cipher: SealingCipher::Deterministic(self.deterministic_cipher()),
        }
    }

    fn random_cipher(&self, salt: &[u8]) -> Box<LessSafeKey> {
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.secret);
        let derived = derived.expand(&[b"tidegate encrypt"], &AES_256_GCM).expect("HKDF gives 32 bytes");
        Box::new(LessSafeKey::new(UnboundKey::from(derived)))
    }

    fn deterministic_cipher(&self) -> Box<Aes256GcmSiv> {
        let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.secret);
        let mut bytes = [0; LENGTH];
        derived
            .expand(&[b"tidegate encrypt_deterministic"], hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(&mut bytes))
            .expect("HKDF gives 32 bytes");
        Box::new(Aes256GcmSiv::new(&bytes.into()))
    }
}

fn secret_of_tests(id: &str) -> [u8; LENGTH] {
    let digest = digest(&SHA256, format!("tidegate test key {id}").as_bytes());
    let mut secret = [0; LENGTH];
    secret.copy_from_slice(digest.as_ref());
    secret
}

/// The secret of [`Key::of_tests`] as a file would write it.
pub fn placeholder(id: &str) -> String {
    hex::encode(secret_of_tests(id))
}

/// Hashes many values under one key.
pub struct Hasher(hmac::Key);

impl Hasher {
    /// HMAC-SHA-256, as 64 hex digits.
    pub fn hash(&self, value: &[u8]) -> String {
        hex::encode(hmac::sign(&self.0, value))
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Rather nothing at all than a value that is not hidden.
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

/// Hides many values under one key.
pub struct Sealer {
    /// `tg1.<key id>.`
    head: String,
    cipher: SealingCipher,
}

enum SealingCipher {
    Random { salt: [u8; SALT_LENGTH], cipher: Box<LessSafeKey> },
    Deterministic(Box<Aes256GcmSiv>),
}

impl Sealer {
    /// The value as text. Only who gives the same `context` can open it.
    pub fn seal(&self, value: &[u8], context: &[u8]) -> String {
        let bound = [self.head.as_bytes(), context].concat();
        let hidden = match &self.cipher {
            SealingCipher::Random { salt, cipher } => {
                let nonce: [u8; NONCE_LEN] = random();
                let mut hidden = value.to_vec();
                cipher
                    .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&bound), &mut hidden)
                    .expect("a value has less than 64 GiB");
                [salt, nonce.as_slice(), &hidden].concat()
            }
            SealingCipher::Deterministic(cipher) => cipher
                .encrypt(&Default::default(), Payload { msg: value, aad: &bound })
                .expect("a value has less than 64 GiB"),
        };
        let mut text = self.head.clone();
        URL_SAFE_NO_PAD.encode_string(hidden, &mut text);
        text
    }
}

/// Why a text cannot be opened. Holds no part of the text but a key's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("the text is none that encrypt made")]
    Malformed,
    #[error("it was encrypted with a key that [keys] does not have")]
    UnknownKey(String),
    #[error("it was changed, or encrypted with another key of the same id")]
    Refused,
}

/// The keys of a pipeline, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys(Arc<BTreeMap<String, Key>>);

impl FromIterator<Key> for Keys {
    fn from_iter<T: IntoIterator<Item = Key>>(keys: T) -> Self {
        Self(Arc::new(keys.into_iter().map(|key| (key.id().to_owned(), key)).collect()))
    }
}

impl Keys {
    pub fn get(&self, id: &str) -> Option<&Key> {
        self.0.get(id)
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The keys of [`Key::of_tests`] under the same ids.
    #[must_use]
    pub fn of_tests(&self) -> Self {
        self.ids().map(Key::of_tests).collect()
    }

    /// What opens texts.
    pub fn opener(&self) -> Opener<'_> {
        Opener { keys: self, last: None }
    }
}

/// Opens many texts; those of one batch mostly have the same salt.
pub struct Opener<'k> {
    keys: &'k Keys,
    /// The key's id and the salt (none: deterministic) of the last cipher.
    last: Option<(String, Vec<u8>, OpeningCipher)>,
}

enum OpeningCipher {
    Random(Box<LessSafeKey>),
    Deterministic(Box<Aes256GcmSiv>),
}

impl Opener<'_> {
    /// The value that a [`Sealer`] hid under the same `context`.
    ///
    /// # Errors
    /// The text is no such text, its key is not there, or it was changed.
    pub fn open(&mut self, text: &str, context: &[u8]) -> Result<Vec<u8>, Closed> {
        let (head, body) = text.rsplit_once('.').ok_or(Closed::Malformed)?;
        let (form, id) = head.split_once('.').ok_or(Closed::Malformed)?;
        let is_random = match form {
            RANDOM => true,
            DETERMINISTIC => false,
            _ => return Err(Closed::Malformed),
        };
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| Closed::Malformed)?;
        let salt_length = if is_random { SALT_LENGTH } else { 0 };
        let rest = if is_random { NONCE_LEN + TAG_LENGTH } else { TAG_LENGTH };
        if body.len() < salt_length + rest {
            return Err(Closed::Malformed);
        }
        let (salt, hidden) = body.split_at(salt_length);
        let key = self.keys.get(id).ok_or_else(|| Closed::UnknownKey(id.to_owned()))?;
        let bound = [head.as_bytes(), b".", context].concat();
        match self.cipher(key, salt) {
            OpeningCipher::Random(cipher) => {
                let (nonce, hidden) = hidden.split_at(NONCE_LEN);
                let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Closed::Malformed)?;
                let mut hidden = hidden.to_vec();
                let value = cipher.open_in_place(nonce, Aad::from(bound), &mut hidden).map_err(|_| Closed::Refused)?;
                let length = value.len();
                hidden.truncate(length);
                Ok(hidden)
            }
            OpeningCipher::Deterministic(cipher) => {
                cipher.decrypt(&Default::default(), Payload { msg: hidden, aad: &bound }).map_err(|_| Closed::Refused)
            }
        }
    }

    /// `salt`: empty for the deterministic form.
    fn cipher(&mut self, key: &Key, salt: &[u8]) -> &OpeningCipher {
        let is_last = self.last.as_ref().is_some_and(|(id, known, _)| id == key.id() && known == salt);
        if !is_last {
            self.last = None;
        }
        let (.., cipher) = self.last.get_or_insert_with(|| {
            let cipher = match salt {
                [] => OpeningCipher::Deterministic(key.deterministic_cipher()),
                salt => OpeningCipher::Random(key.random_cipher(salt)),
            };
            (key.id().to_owned(), salt.to_vec(), cipher)
        });
        cipher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        [Key::new("k1", [1; LENGTH]), Key::new("k2", [2; LENGTH])].into_iter().collect()
    }

    fn open(text: &str, context: &[u8]) -> Result<Vec<u8>, Closed> {
        keys().opener().open(text, context)
    }

    #[test]
    fn a_hidden_value_comes_back_by_its_key_and_its_context_alone() {
        let keys = keys();
        let key = keys.get("k1").expect("a key");
        for sealer in [key.sealer(), key.deterministic_sealer()] {
            for value in ["", "x", "anna@example.org", "ä€🦀\0", &"long".repeat(10_000)] {
                let text = sealer.seal(value.as_bytes(), b"here");
                assert!(!text.contains("example"), "{text}");
                assert_eq!(open(&text, b"here").as_deref(), Ok(value.as_bytes()));
                assert_eq!(open(&text, b"there"), Err(Closed::Refused));
                let other: Keys = [Key::new("k1", [9; LENGTH])].into_iter().collect();
                assert_eq!(other.opener().open(&text, b"here"), Err(Closed::Refused));
                assert_eq!(
                    Keys::default().opener().open(&text, b"here"),
                    Err(Closed::UnknownKey("k1".to_owned())),
                    "a deleted key erases"
                );
            }
        }
    }

    #[test]
    fn a_changed_text_is_refused() {
        let key = Key::new("k1", [1; LENGTH]);
        for sealer in [key.sealer(), key.deterministic_sealer()] {
            let text = sealer.seal(b"anna@example.org", b"");
            for index in 0..text.len() {
                let mut changed = text.clone().into_bytes();
                changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).expect("ASCII");
                // The last digit of base64 may hold bits that stand for nothing; those must be zero.
                assert!(open(&changed, b"").is_err(), "{index}: {text} -> {changed}");
            }
            for end in 0..text.len() {
                assert!(open(&text[..end], b"").is_err(), "{end}");
            }
        }
        // Another key's id, and the other form.
        let text = key.sealer().seal(b"x", b"");
        assert_eq!(open(&text.replace("k1", "k2"), b""), Err(Closed::Refused));
        assert!(open(&text.replace("tg1.", "tg1d."), b"").is_err());
        for text in ["", ".", "..", "tg1.k1.", "tg1.k1", "tg2.k1.AAAA", "tg1.k1.%%%%", "anna@example.org"] {
            assert_eq!(open(text, b""), Err(Closed::Malformed), "{text}");
        }
    }

    #[test]
    fn only_the_deterministic_form_is_equal_for_equal_values() {
        let key = Key::new("k1", [1; LENGTH]);
        let sealer = key.sealer();
        assert_ne!(sealer.seal(b"x", b""), sealer.seal(b"x", b""));
        assert_ne!(key.sealer().seal(b"x", b""), key.sealer().seal(b"x", b""));
        let texts = [key.deterministic_sealer().seal(b"x", b""), key.deterministic_sealer().seal(b"x", b"")];
        assert_eq!(texts[0], texts[1]);
        assert_ne!(texts[0], key.deterministic_sealer().seal(b"y", b""));
        assert_ne!(texts[0], key.deterministic_sealer().seal(b"x", b"elsewhere"));
        assert_ne!(texts[0], Key::new("k1", [2; LENGTH]).deterministic_sealer().seal(b"x", b""));
    }

    #[test]
    fn one_opener_opens_texts_of_many_batches_and_keys() {
        let keys = keys();
        let batches = ["k1", "k2", "k1"].map(|id| keys.get(id).expect("a key").sealer());
        let mut opener = keys.opener();
        for round in 0..3 {
            for sealer in &batches {
                let value = format!("value {round}");
                assert_eq!(opener.open(&sealer.seal(value.as_bytes(), b""), b"").as_deref(), Ok(value.as_bytes()));
            }
        }
    }

    #[test]
    fn the_hash_is_plain_hmac_sha_256() {
        // printf 'Hi There' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b..0b
        let hasher = Key::new("k1", [0x0b; LENGTH]).hasher();
        assert_eq!(hasher.hash(b"Hi There"), "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7");
    }

    /// Made by Python's `cryptography`, as docs/privacy.md describes the form: stored texts must open for ever.
    #[test]
    fn the_form_is_the_documented_one() {
        let mut secret = [0; LENGTH];
        (0..).zip(&mut secret).for_each(|(number, byte)| *byte = number);
        let key = Key::new("k1", secret);
        let deterministic = "tg1d.k1.J839ET_NmAi4hYvV9kWyeoLjzR-2beqp5Nqiw16vTmY";
        assert_eq!(key.deterministic_sealer().seal(b"anna@example.org", b"column"), deterministic);
        let keys: Keys = [key].into_iter().collect();
        let random = "tg1.k1.AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKC47a4fsJOcaFVzIPbsc_yVVx9Lf5C3d1MNUWW4XdVzTa";
        for text in [random, deterministic] {
            assert_eq!(keys.opener().open(text, b"column").as_deref(), Ok(&b"anna@example.org"[..]));
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let keys: Keys = [Key::new("k1", *b"c4n4ry-c4n4ry-c4n4ry-c4n4ry-c4n4")].into_iter().collect();
        let shown = format!("{keys:?} {:?} {:?}", keys.get("k1"), open("tg1.k1.AAAA", b""));
        assert!(shown.contains("k1") && !shown.contains("c4n4") && !shown.contains("99, 52"), "{shown}");
    }
}
