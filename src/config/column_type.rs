//! Column types as texts.

use crate::types::ColumnType;

use super::problem::{nearest, printable};

/// The widest decimal that a database declares (PostgreSQL: 1000 digits).
const MOST_DIGITS: u32 = 1000;

/// What `type` takes, as messages list it.
pub const ALLOWED: &str = "boolean, tinyint, smallint, int, bigint (each also unsigned), real, double, decimal, \
     decimal(p,s), text, bytes, uuid, date, time, timestamp, timestamptz, json, enum, and an array of one of them as text[]";

/// Every name and what it means. SQL's and the databases' own names are taken too.
const NAMES: &[(&str, ColumnType)] = &[
    ("boolean", ColumnType::Bool),
    ("bool", ColumnType::Bool),
    ("tinyint", ColumnType::Int8),
    ("smallint", ColumnType::Int16),
    ("int2", ColumnType::Int16),
    ("int16", ColumnType::Int16),
    ("int", ColumnType::Int32),
    ("integer", ColumnType::Int32),
    ("mediumint", ColumnType::Int32),
    ("int4", ColumnType::Int32),
    ("int32", ColumnType::Int32),
    ("bigint", ColumnType::Int64),
    // PostgreSQL's name: eight bytes.
    ("int8", ColumnType::Int64),
    ("int64", ColumnType::Int64),
    ("long", ColumnType::Int64),
    ("tinyint unsigned", ColumnType::UInt8),
    ("smallint unsigned", ColumnType::UInt16),
    ("int unsigned", ColumnType::UInt32),
    ("integer unsigned", ColumnType::UInt32),
    ("mediumint unsigned", ColumnType::UInt32),
    ("bigint unsigned", ColumnType::UInt64),
    ("real", ColumnType::Float32),
    ("float4", ColumnType::Float32),
    ("double", ColumnType::Float64),
    ("double precision", ColumnType::Float64),
    ("float8", ColumnType::Float64),
    // The wider of what the databases mean by it.
    ("float", ColumnType::Float64),
    ("decimal", ColumnType::Numeric),
    ("numeric", ColumnType::Numeric),
    ("text", ColumnType::Text),
    ("string", ColumnType::Text),
    ("varchar", ColumnType::Text),
    ("character varying", ColumnType::Text),
    ("char", ColumnType::Text),
    ("character", ColumnType::Text),
    ("mediumtext", ColumnType::Text),
    ("longtext", ColumnType::Text),
    ("enum", ColumnType::Enum),
    ("bytes", ColumnType::Bytes),
    ("bytea", ColumnType::Bytes),
    ("blob", ColumnType::Bytes),
    ("longblob", ColumnType::Bytes),
    ("binary", ColumnType::Bytes),
    ("varbinary", ColumnType::Bytes),
    ("uuid", ColumnType::Uuid),
    ("date", ColumnType::Date),
    ("time", ColumnType::Time),
    ("timestamp", ColumnType::Timestamp),
    ("timestamp without time zone", ColumnType::Timestamp),
    ("datetime", ColumnType::Timestamp),
    ("timestamptz", ColumnType::TimestampTz),
    ("timestamp with time zone", ColumnType::TimestampTz),
    ("json", ColumnType::Json),
    ("jsonb", ColumnType::Json),
];

/// A type's text as a type.
///
/// # Errors
/// What is wrong, and what to write instead.
pub fn parse(text: &str) -> Result<ColumnType, (String, String)> {
    let lower = text.trim().to_ascii_lowercase();
    let Some(element) = lower.strip_suffix("[]") else { return scalar(text, &lower) };
    if element.ends_with("[]") {
        return Err((format!("\"{}\" is an array of arrays", printable(text)), "write type = \"json\"".to_owned()));
    }
    scalar(text, element).map(|element| ColumnType::List(Box::new(element)))
}

fn scalar(text: &str, lower: &str) -> Result<ColumnType, (String, String)> {
    let unknown = |name: &str| {
        let names = NAMES.iter().map(|(name, _)| *name);
        let near =
            nearest(name, names).map_or("write one of these".to_owned(), |near| format!("did you mean \"{near}\"?"));
        (format!("\"{}\" is no type", printable(text)), near)
    };
    let (name, arguments, after) = match lower.split_once('(') {
        None => (lower, None, ""),
        Some((name, rest)) => {
            let (arguments, after) = rest.split_once(')').ok_or_else(|| unknown(name))?;
            (name, Some(arguments), after)
        }
    };
    // `timestamp(6) with time zone` and `int(11) unsigned` carry words behind the brackets.
    let words: Vec<&str> = name.split_whitespace().chain(after.split_whitespace()).collect();
    let name = words.join(" ");
    let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, ty)| ty.clone());
    let ty = found.ok_or_else(|| unknown(&name))?;
    let Some(arguments) = arguments else { return Ok(ty) };
    let numbers: Option<Vec<u32>> = arguments.split(',').map(|number| number.trim().parse().ok()).collect();
    match (ty, numbers.as_deref()) {
        (ColumnType::Numeric, Some([precision])) => decimal(*precision, 0),
        (ColumnType::Numeric, Some([precision, scale])) => decimal(*precision, *scale),
        (ColumnType::Numeric, _) => {
            let what = format!("\"{}\" is no decimal", printable(text));
            Err((what, "write \"decimal(12,2)\": digits in all, and of them behind the point".to_owned()))
        }
        // A length is the database's to check.
        (ty, Some([_])) if takes_length(&ty) => Ok(ty),
        _ => Err((format!("\"{}\" takes no such argument", printable(text)), format!("write \"{name}\""))),
    }
}

fn takes_length(ty: &ColumnType) -> bool {
    use ColumnType as T;
    let integer = matches!(ty, T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64);
    integer || matches!(ty, T::Text | T::Bytes | T::Time | T::Timestamp | T::TimestampTz)
}

fn decimal(precision: u32, scale: u32) -> Result<ColumnType, (String, String)> {
    if precision == 0 || precision > MOST_DIGITS {
        let what = format!("a decimal has 1 to {MOST_DIGITS} digits, not {precision}");
        return Err((what, "write \"decimal\" for any number of digits".to_owned()));
    }
    if scale > precision {
        let what = format!("{scale} digits behind the point are more than the {precision} in all");
        return Err((what, format!("write \"decimal({scale},{precision})\", or fewer behind the point")));
    }
    Ok(ColumnType::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back_from_its_own_text() {
        let decimal = ColumnType::Decimal { precision: 12, scale: 2 };
        for ty in NAMES.iter().map(|(_, ty)| ty.clone()).chain([decimal, ColumnType::List(Box::new(ColumnType::Text))])
        {
            assert_eq!(parse(&ty.to_string()), Ok(ty));
        }
    }

    #[test]
    fn the_databases_own_spellings_are_taken() {
        for (text, ty) in [
            ("VARCHAR(255)", ColumnType::Text),
            ("Double  Precision", ColumnType::Float64),
            ("timestamp(6) with time zone", ColumnType::TimestampTz),
            ("int(11) unsigned", ColumnType::UInt32),
            ("numeric(10)", ColumnType::Decimal { precision: 10, scale: 0 }),
            ("decimal( 10 , 3 )", ColumnType::Decimal { precision: 10, scale: 3 }),
            ("numeric(10,2)[]", ColumnType::List(Box::new(ColumnType::Decimal { precision: 10, scale: 2 }))),
        ] {
            assert_eq!(parse(text), Ok(ty), "{text}");
        }
    }

    #[test]
    fn a_wrong_type_is_told_with_the_right_one() {
        for (text, cure) in [
            ("bigintt", "\"bigint\""),
            ("timestamp tz", "\"timestamptz\""),
            ("decimal(2,12)", "decimal(12,2)"),
            ("decimal(0)", "any number"),
            ("decimal(4000000000,2)", "any number"),
            ("decimal(x)", "decimal(12,2)"),
            ("uuid(3)", "\"uuid\""),
            ("text[][]", "json"),
            ("decimal(12", "decimal"),
        ] {
            let (_, told) = parse(text).expect_err(text);
            assert!(told.contains(cure), "{text}: {told}");
        }
    }
}
