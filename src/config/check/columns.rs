//! `[source.columns]`.

use crate::config::column_type;
use crate::config::columns::{Columns, Meta, NamedColumn, RawColumn};
use crate::config::problem::{Place, Problem, Problems, Rule, printable};
use crate::config::raw::RawSource;
use crate::config::read::{Given, Section, Setting};
use crate::config::{KeyFormat, SourceColumn};
use crate::rows::ColumnSource;
use crate::types::ColumnType;

use super::default;

/// No database has a column's name this long.
const LONGEST_COLUMN: usize = 128;

pub fn columns(
    written: &Columns,
    key_format: &Setting<KeyFormat>,
    timezone: Option<&str>,
    problems: &mut Problems,
) -> Vec<SourceColumn> {
    written.0.iter().filter_map(|named| column(named, key_format, timezone, problems)).collect()
}

fn column(
    named: &NamedColumn,
    key_format: &Setting<KeyFormat>,
    timezone: Option<&str>,
    problems: &mut Problems,
) -> Option<SourceColumn> {
    let NamedColumn { name, place, column } = named;
    if name.is_empty() || name.len() > LONGEST_COLUMN || name.chars().any(char::is_control) {
        let what = format!("\"{}\" is no column's name", printable(name));
        problems.push(Problem::new(place, Rule::Value, what, "write the name of the table's column"));
    }
    let ty = column.r#type.given().map(|given| self::ty(given, name, problems));
    let source = origin(named, key_format, problems);
    let failed = matches!(ty, Some(None)) || matches!(column.r#type, Setting::Broken);
    let ty = ty.flatten();
    if !failed {
        conversions(name, column, ty.as_ref(), problems);
    }
    let mut checked = SourceColumn {
        name: name.clone(),
        ty,
        source: source?,
        unit: column.unit.value().map(|unit| (*unit).into()),
        encoding: column.encoding.value().map(|encoding| (*encoding).into()),
        default: None,
    };
    if let Some(given) = column.default.given() {
        if !failed {
            default::check(&checked, given, timezone, problems);
        }
        checked.default = Some(given.value.0.to_string());
    }
    Some(checked)
}

fn ty(given: &Given<String>, name: &str, problems: &mut Problems) -> Option<ColumnType> {
    match column_type::parse(&given.value) {
        Ok(ty) => Some(ty),
        Err((what, cure)) => {
            let shown = printable(name);
            let (what, cure) = if given.hidden {
                ("the value of the reference is no type".to_owned(), "write the type itself".to_owned())
            } else if RawSource::KEYS.contains(&name) {
                // What follows a section's header belongs to it: the commonest way to lose a setting.
                (what, format!("if `{shown}` is the setting of [source], move it above [source.columns]; else {cure}"))
            } else {
                (what, cure)
            };
            let what = format!("column `{shown}`: {what}");
            problems.push(Problem::new(&given.place, Rule::Value, what, cure).allowed(column_type::ALLOWED));
            None
        }
    }
}

/// Where the column takes its value from: one of path, key, header, meta, or the field of its name.
fn origin(named: &NamedColumn, key_format: &Setting<KeyFormat>, problems: &mut Problems) -> Option<ColumnSource> {
    let RawColumn { path, key, header, meta, .. } = &named.column;
    let written = [
        ("path", path.given().map(|given| &given.key)),
        ("key", key.given().map(|given| &given.key)),
        ("header", header.given().map(|given| &given.key)),
        ("meta", meta.given().map(|given| &given.key)),
    ];
    let written: Vec<(&str, &Place)> = written.into_iter().filter_map(|(name, at)| Some((name, at?))).collect();
    if let [(first, _), (second, place), ..] = written[..] {
        let what = format!("column `{}`: `{first}` and `{second}` exclude each other", printable(&named.name));
        problems.push(Problem::new(place, Rule::Contradiction, what, "keep one: a column has one origin"));
        return None;
    }
    if let Some(given) = path.given() {
        let names = names(given, named, "path", "customer.city", problems)?;
        if names.is_empty() {
            let what = format!("column `{}`: `path` is the whole value", printable(&named.name));
            problems.push(Problem::new(&given.place, Rule::Value, what, "name a field in it: path = \"$.field\""));
            return None;
        }
        return Some(ColumnSource::Value(names));
    }
    if let Some(given) = key.given() {
        let names = names(given, named, "key", "id", problems)?;
        let text = match key_format {
            Setting::Absent => true,
            format => format.value().is_some_and(|format| *format != KeyFormat::Json),
        };
        if !names.is_empty() && text {
            let what = format!("column `{}` is a field of the key, but the key is not JSON", printable(&named.name));
            let cure = "write key_format = \"json\" under [source], or key = \"$\" for the whole key";
            problems.push(Problem::new(&given.place, Rule::Contradiction, what, cure));
        }
        return Some(ColumnSource::Key(names));
    }
    if let Some(given) = header.given() {
        if given.value.is_empty() {
            let what = format!("column `{}`: `header` is empty", printable(&named.name));
            problems.push(Problem::new(&given.place, Rule::Value, what, "write the header's name"));
        }
        return Some(ColumnSource::Header(given.value.clone()));
    }
    match meta {
        Setting::Given(given) => Some(match given.value {
            Meta::Topic => ColumnSource::Topic,
            Meta::Partition => ColumnSource::Partition,
            Meta::Offset => ColumnSource::Offset,
            Meta::Timestamp => ColumnSource::Timestamp,
        }),
        Setting::Absent => Some(ColumnSource::Value(vec![named.name.clone()])),
        Setting::Broken => None,
    }
}

fn names(
    given: &Given<String>,
    named: &NamedColumn,
    option: &str,
    example: &str,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let Err(reason) = steps(&given.value) else { return steps(&given.value).ok() };
    let shown = given.shown();
    let what = format!("column `{}`: {option} {shown} {reason}", printable(&named.name));
    let cure = if given.value.starts_with('$') || given.hidden || given.value.is_empty() {
        format!("write names with points between: \"$.{example}\"; a name with points as $['a.b']")
    } else {
        format!("write \"$.{}\"", printable(&given.value))
    };
    problems.push(Problem::new(&given.place, Rule::Value, what, cure));
    None
}

/// `$.customer['first name'].x` as names.
fn steps(path: &str) -> Result<Vec<String>, &'static str> {
    let mut rest = path.strip_prefix('$').ok_or("does not begin with $.")?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            (name, rest) = after.split_at(end);
        } else if let Some(after) = rest.strip_prefix('[') {
            let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'));
            let quote = quote.ok_or("reaches into a list, which has no columns")?;
            let after = &after[1..];
            let end = after.find(quote).ok_or("has an open quote")?;
            name = &after[..end];
            rest = after[end + 1..].strip_prefix(']').ok_or("has an open bracket")?;
        } else {
            return Err("lacks a point");
        }
        if name.is_empty() {
            return Err("has an empty name");
        }
        if name == "*" {
            return Err("has a wildcard, which is no single value");
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Units and encodings where they mean something.
fn conversions(name: &str, column: &RawColumn, ty: Option<&ColumnType>, problems: &mut Problems) {
    use ColumnType as T;
    let shown = printable(name);
    let is_time = ty.is_none_or(|ty| matches!(ty, T::Date | T::Time | T::Timestamp | T::TimestampTz));
    if let Some(given) = column.unit.given() {
        if !is_time {
            let ty = ty.map(ToString::to_string).unwrap_or_default();
            let what = format!("column `{shown}`: `unit` has no effect on the type {ty}");
            let cure = "remove it, or write a type of time such as \"timestamptz\"";
            problems.push(Problem::new(&given.key, Rule::Contradiction, what, cure));
        } else if column.meta.given().is_some() {
            let what = format!("column `{shown}`: `unit` has no effect with `meta`, whose unit is known");
            problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove it"));
        }
    }
    let is_bytes = ty.is_none_or(|ty| matches!(ty, T::Bytes) || *ty == T::List(Box::new(T::Bytes)));
    if let (Some(given), false) = (column.encoding.given(), is_bytes) {
        let ty = ty.map(ToString::to_string).unwrap_or_default();
        let what = format!("column `{shown}`: `encoding` has no effect on the type {ty}");
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove it, or write type = \"bytes\""));
    }
    if let (Some(given), Some(_)) = (column.default.given(), column.meta.given()) {
        let what = format!("column `{shown}`: `default` has no effect with `meta`, which every record has");
        problems.push(Problem::new(&given.key, Rule::Contradiction, what, "remove it"));
    }
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn paths_are_names() {
        for (path, names) in [
            ("$", &[][..]),
            ("$.a", &["a"]),
            ("$.customer.address.city", &["customer", "address", "city"]),
            ("$['a.b'].c[\"d e\"]", &["a.b", "c", "d e"]),
            ("$.ключ", &["ключ"]),
        ] {
            assert_eq!(steps(path), Ok(names.iter().map(|name| (*name).to_owned()).collect()), "{path}");
        }
        for wrong in ["", "a", "$a", "$.", "$..a", "$.a.", "$[0]", "$.a[*]", "$.*", "$['a", "$['a'", "$['']", "$.é["] {
            assert!(steps(wrong).is_err(), "{wrong}");
        }
    }
}
