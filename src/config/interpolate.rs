//! `${NAME}` and `${file:path}` in texts. No value that goes in here ever comes out in a message.

use std::io::Read;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::keys;

use super::environment::Environment;
use super::parse::reason;
use super::problem::printable;

/// What a URL takes as it is in every part (RFC 3986, unreserved); all else is encoded.
const IN_URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A password or a chain of certificates is smaller; a wrong path may lead to something larger.
const LARGEST_SECRET: u64 = 1 << 20;

/// Where references lead, and how their values are put in.
pub struct Context<'a> {
    pub environment: &'a Environment,
    /// Relative paths in `${file:..}` begin here.
    pub folder: &'a Path,
    /// The text is a URL: what is put into it is percent-encoded.
    pub url: bool,
    /// The text is a key of `[keys]`, by its path there.
    pub key: Option<&'a str>,
}

/// What stands in for a value that is not there, where nobody will connect with it.
const PLACEHOLDER: &str = "placeholder";
const PLACEHOLDER_URL: &str = "postgres://localhost/placeholder";

/// A reference that cannot be followed: what is wrong, and the cure.
pub type Fault = (String, String);

/// The text with its references followed; `None` where it has none. `$${` stands for `${`.
///
/// # Errors
/// One for each reference that cannot be followed.
pub fn expand(text: &str, context: &Context<'_>) -> Result<Option<String>, Vec<Fault>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut expanded = String::with_capacity(text.len());
    let mut faults = Vec::new();
    let mut found = false;
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            expanded.push_str(&rest[..at - 1]);
            expanded.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        found = true;
        expanded.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('}') else {
            faults.push(("`${` is not closed by `}`".to_owned(), "close it; `$${` stands for a plain `${`".to_owned()));
            rest = "";
            break;
        };
        let whole = at == 0 && at + end + 1 == rest.len() && rest.len() == text.len();
        match follow(&rest[at + 2..at + end], context) {
            // A URL that is one reference and nothing else is taken as it is: it brings its own encoding.
            Ok(value) if context.url && !whole => expanded.extend(utf8_percent_encode(&value, IN_URL)),
            Ok(value) => expanded.push_str(&value),
            Err(_) if context.environment.has_placeholders() => {
                expanded.push_str(&match context {
                    Context { url: true, .. } if whole => PLACEHOLDER_URL.into(),
                    Context { key: Some(path), .. } => keys::placeholder(path),
                    _ => PLACEHOLDER.to_owned(),
                });
            }
            Err(fault) => faults.push(fault),
        }
        rest = &rest[at + end + 1..];
    }
    expanded.push_str(rest);
    // A text with only `$${` in it changed too, but has nothing secret.
    if faults.is_empty() { Ok((found || expanded != text).then_some(expanded)) } else { Err(faults) }
}

/// Does the text hold a reference, and so perhaps a secret?
pub fn refers(text: &str) -> bool {
    text.match_indices("${").any(|(at, _)| !text[..at].ends_with('$'))
}

fn follow(reference: &str, context: &Context<'_>) -> Result<String, Fault> {
    let value = match reference.strip_prefix("file:") {
        Some(path) => from_file(path, context.folder)?,
        None => from_variable(reference, context.environment)?,
    };
    if value.contains('\0') {
        return Err((
            format!("`${{{}}}` holds a NUL character, which no setting can take", printable(reference)),
            "write it as text without NUL".to_owned(),
        ));
    }
    Ok(value)
}

fn from_variable(name: &str, environment: &Environment) -> Result<String, Fault> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_ascii_digit()) {
        // What stands between the braces may be a part of a password: it is not repeated.
        return Err((
            "between `${` and `}` stands neither a variable's name nor `file:` and a path".to_owned(),
            "write `${NAME}` or `${file:/run/secrets/name}`; `$${` stands for a plain `${`".to_owned(),
        ));
    }
    match environment.get(name) {
        Some(Some(value)) => Ok(value.to_owned()),
        Some(None) => Err((format!("`${{{name}}}` is not UTF-8"), format!("set {name} to UTF-8 text"))),
        None => Err((
            format!("the environment variable {name} is not set"),
            format!("set {name}, or write `${{file:/run/secrets/..}}`; `$${{` stands for a plain `${{`"),
        )),
    }
}

fn from_file(path: &str, folder: &Path) -> Result<String, Fault> {
    let shown = printable(path);
    let fault =
        |what: &str| (format!("`${{file:{shown}}}`: {what}"), "give a readable file that holds the value".into());
    if path.is_empty() {
        return Err(fault("the path is missing"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(folder.join(path));
    file.and_then(|file| file.take(LARGEST_SECRET + 1).read_to_end(&mut bytes))
        .map_err(|error| fault(&format!("the file cannot be read: {}", reason(&error))))?;
    if bytes.len() as u64 > LARGEST_SECRET {
        return Err(fault("the file is larger than 1 MiB"));
    }
    let mut value = String::from_utf8(bytes).map_err(|_| fault("the file is not UTF-8"))?;
    // Editors and `echo` end a file with one newline that is no part of the value.
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, url: bool) -> Result<Option<String>, Vec<Fault>> {
        let environment = Environment::from_iter([("A", "a"), ("HARD", "@:/?#% \n€"), ("EMPTY", ""), ("NUL", "x\0y")]);
        expand(text, &Context { environment: &environment, folder: Path::new("/nowhere"), url, key: None })
    }

    #[test]
    fn references_are_followed_once() {
        assert_eq!(expanded("plain $ text {}", false), Ok(None));
        assert_eq!(expanded("<${A}${A}${EMPTY}>", false), Ok(Some("<aa>".to_owned())));
        assert_eq!(expanded("$${A} ${A}", false), Ok(Some("${A} a".to_owned())));
        assert_eq!(expanded("$${A}", false), Ok(Some("${A}".to_owned())));
        assert!(!refers("$${A}") && refers("x${A}"));
    }

    #[test]
    fn a_value_inside_a_url_is_encoded_and_a_whole_url_is_not() {
        let url = "postgres://app:${HARD}@db/shop";
        let told = "postgres://app:%40%3A%2F%3F%23%25%20%0A%E2%82%AC@db/shop";
        assert_eq!(expanded(url, true), Ok(Some(told.to_owned())));
        assert_eq!(expanded("${HARD}", true), Ok(Some("@:/?#% \n€".to_owned())));
    }

    #[test]
    fn every_bad_reference_of_a_text_is_told_without_its_neighbours() {
        let faults = expanded("${MISSING} ${file:none} ${se-cret} ${NUL} ${", false).unwrap_err();
        let told: Vec<&str> = faults.iter().map(|fault| fault.0.as_str()).collect();
        assert_eq!(told.len(), 5);
        assert!(told[0].contains("MISSING is not set"), "{}", told[0]);
        assert!(told[1].contains("does not exist"), "{}", told[1]);
        assert!(!told[2].contains("se-cret"), "{}", told[2]);
        assert!(told[3].contains("NUL") && !told[3].contains("x"), "{}", told[3]);
    }

    #[test]
    fn one_last_newline_of_a_file_is_cut() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (written, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", "")] {
            std::fs::write(folder.path().join("s"), written).expect("write");
            assert_eq!(from_file("s", folder.path()), Ok(value.to_owned()), "{written:?}");
        }
    }
}
