//! `[keys.<id>]` and `[privacy]`. A key's value is in no message, only what is wrong with its form.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::config::private::{NamedKey, NamedKeys, RawPrivacy};
use crate::config::problem::{Place, Problem, Problems, Rule, nearest, printable};
use crate::config::read::{Given, Setting};
use crate::config::{Source, Table};
use crate::keys::{Key, Keys, LENGTH};
use crate::privacy::Privacy;

const LONGEST_ID: usize = 64;
/// Random bytes have fewer different ones once in 10^15 keys.
const LEAST_DIFFERENT: usize = 16;
const MAKE: &str = "make one by `openssl rand -base64 32`";

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// `literal` collects the names of keys that the file holds as they are.
pub fn keys(given: &Setting<NamedKeys>, literal: &mut Vec<String>, problems: &mut Problems) -> Option<Keys> {
    let named = match given {
        Setting::Absent => return Some(Keys::default()),
        Setting::Broken => return None,
        Setting::Given(given) => &given.value.0,
    };
    let before = problems.len();
    let mut keys: Vec<(&str, [u8; LENGTH])> = Vec::new();
    for NamedKey { id, place, key } in named {
        self::id(id, place, problems);
        let cure = "write value = \"${file:..}\" or \"${NAME}\" under the key's section";
        let Some(value) = key.value.required(place, &format!("keys.{id}.value"), cure, problems) else { continue };
        if value.is_literal() {
            literal.push(format!("keys.{id}.value"));
        }
        let Some(secret) = secret(id, value, problems) else { continue };
        if let Some((twin, _)) = keys.iter().find(|(_, known)| *known == secret) {
            let what = format!("the keys {twin} and {id} have the same value");
            let cure = format!("{MAKE}: another key is another secret");
            problems.push(Problem::new(&value.place, Rule::Contradiction, what, cure));
        }
        keys.push((id, secret));
    }
    // What is wrong was told; a `Broken` value too.
    if problems.len() > before || keys.len() < named.len() {
        return None;
    }
    Some(keys.into_iter().map(|(id, secret)| Key::new(id, secret)).collect())
}

fn id(id: &str, place: &Place, problems: &mut Problems) {
    // It stands between points in every text that `encrypt` makes.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(allowed) {
        let what = format!("a key cannot be called \"{}\"", printable(id));
        let problem = Problem::new(place, Rule::Value, what, "write an id such as k1");
        problems.push(problem.allowed(format!("1 to {LONGEST_ID} characters of A-Z a-z 0-9 _ -")));
    }
}

fn secret(id: &str, given: &Given<String>, problems: &mut Problems) -> Option<[u8; LENGTH]> {
    let mut refuse = |what: String| {
        let problem = Problem::new(&given.place, Rule::Value, format!("`keys.{id}.value` {what}"), MAKE);
        problems.push(problem.allowed("32 random bytes, in base64 or as 64 hex digits"));
    };
    let text = given.value.trim();
    let decoded = match text.len() == 2 * LENGTH {
        true => hex::decode(text).ok(),
        false => STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok(),
    };
    let Some(decoded) = decoded else {
        refuse("is neither base64 nor 64 hex digits".to_owned());
        return None;
    };
    let Ok(secret) = <[u8; LENGTH]>::try_from(decoded.as_slice()) else {
        refuse(format!("holds {} bytes, and a key has {LENGTH}", decoded.len()));
        return None;
    };
    let different = secret.iter().collect::<BTreeSet<_>>().len();
    if different < LEAST_DIFFERENT || secret.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        refuse("is no random number: it repeats itself, or is a written text".to_owned());
        return None;
    }
    Some(secret)
}

/// `keys`: `None` where they have problems of their own.
pub fn privacy(
    given: &Setting<RawPrivacy>,
    keys: Option<&Keys>,
    source: Option<&Source>,
    tables: Option<&[Table]>,
    problems: &mut Problems,
) -> Option<Option<Privacy>> {
    let given = match given {
        Setting::Absent => return Some(None),
        Setting::Broken => return None,
        Setting::Given(given) => given,
    };
    let before = problems.len();
    let cure = "write columns = [\"..\"] with the input's private columns";
    let columns = given.value.columns.required(&given.place, "privacy.columns", cure, problems)?;
    if columns.value.is_empty() {
        problems.push(Problem::new(&columns.place, Rule::Missing, "`privacy.columns` is empty", cure));
    }
    if let (Some(source), Some(tables)) = (source, tables) {
        columns.value.iter().for_each(|column| self::column(column, source, tables, problems));
    }
    let key = match given.value.key.given() {
        Some(id) => self::key(id, keys?, problems),
        None => None,
    };
    if problems.len() > before || matches!(given.value.key, Setting::Broken) {
        return None;
    }
    Some(Some(Privacy { columns: columns.value.iter().map(|column| column.value.clone()).collect(), key }))
}

/// A table without SQL may have columns that the file does not name.
pub fn column(given: &Given<String>, source: &Source, tables: &[Table], problems: &mut Problems) {
    let declared = || source.columns.iter().map(|column| column.name.as_str());
    if declared().any(|name| name == given.value) || tables.iter().any(|table| table.sql.is_none()) {
        return;
    }
    let what = format!("there is no input column {}", given.shown());
    let cure = match nearest(&given.value, declared()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "name columns of [source.columns]".to_owned(),
    };
    problems.push(Problem::new(&given.place, Rule::Value, what, cure));
}

fn key(given: &Given<String>, keys: &Keys, problems: &mut Problems) -> Option<Key> {
    let key = keys.get(&given.value);
    if key.is_none() {
        let cure = match nearest(&given.value, keys.ids()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "declare it: [keys.k1] with value = \"${file:/run/secrets/k1}\", and key = \"k1\" here".to_owned(),
        };
        let what = format!("`privacy.key`: there is no key {}", given.shown());
        let problem = Problem::new(&given.place, Rule::Value, what, cure);
        problems.push(problem.allowed(keys.ids().collect::<Vec<_>>().join(", ")));
    }
    key.cloned()
}
