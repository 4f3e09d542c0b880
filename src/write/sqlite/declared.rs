//! What a column's declared type says. SQLite itself takes almost any text there and stores almost anything under it:
//! <https://www.sqlite.org/datatype3.html>.

use crate::types::ColumnType;

/// How SQLite converts what is stored in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// SQLite's own rules, in its order.
pub(super) fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let holds = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    if holds(&["INT"]) {
        Affinity::Integer
    } else if holds(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if declared.is_empty() || holds(&["BLOB"]) || declared == "ANY" {
        // ANY has numeric affinity in a table that is not STRICT; what we put into it, text, is not changed unless it
        // looks like a number.
        Affinity::Blob
    } else if holds(&["REAL", "FLOA", "DOUB"]) {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// The type that a column of this declared type is written as; `None` where the name says nothing to us.
pub(super) fn column_type(declared: &str) -> Option<ColumnType> {
    let upper = declared.trim().to_ascii_uppercase();
    let (name, arguments) = match upper.split_once('(') {
        // `TIMESTAMP(6) WITH TIME ZONE`
        Some((name, rest)) => {
            let (arguments, tail) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{} {}", name.trim(), tail.trim()), arguments)
        }
        None => (upper.clone(), ""),
    };
    let words: Vec<&str> = name.split_whitespace().collect();
    let name = words.join(" ");
    let by_name = match name.as_str() {
        // No declared type: as ANY.
        "" | "ANY" => Some(ColumnType::Text),
        "BOOL" | "BOOLEAN" => Some(ColumnType::Bool),
        "DECIMAL" | "NUMERIC" | "DEC" | "NUMBER" => return decimal(arguments),
        "DATE" => Some(ColumnType::Date),
        "TIME" | "TIME WITHOUT TIME ZONE" => Some(ColumnType::Time),
        "DATETIME" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => Some(ColumnType::Timestamp),
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" | "DATETIMEOFFSET" => Some(ColumnType::TimestampTz),
        "JSON" | "JSONB" => Some(ColumnType::Json),
        "UUID" | "GUID" | "UNIQUEIDENTIFIER" => Some(ColumnType::Uuid),
        "BINARY" | "VARBINARY" | "BYTEA" | "BYTES" => Some(ColumnType::Bytes),
        // The affinity is INTEGER, the meaning is not.
        "POINT" | "INTERVAL" | "FLOATING POINT" => return None,
        _ => None,
    };
    by_name.or_else(|| match affinity(&name) {
        // SQLite's integers have 64 bits whatever the name says.
        Affinity::Integer if words.contains(&"UNSIGNED") => Some(ColumnType::UInt64),
        Affinity::Integer => Some(ColumnType::Int64),
        Affinity::Text => Some(ColumnType::Text),
        Affinity::Blob => Some(ColumnType::Bytes),
        Affinity::Real => Some(ColumnType::Float64),
        Affinity::Numeric => None,
    })
}

fn decimal(arguments: &str) -> Option<ColumnType> {
    let mut numbers = arguments.split(',').map(|number| number.trim().parse::<u32>());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(precision)), None, None) if precision > 0 => Some(ColumnType::Decimal { precision, scale: 0 }),
        (Some(Ok(precision)), Some(Ok(scale)), None) if precision > 0 && scale <= precision => {
            Some(ColumnType::Decimal { precision, scale })
        }
        _ if arguments.trim().is_empty() => Some(ColumnType::Numeric),
        _ => None,
    }
}

/// Does a column of this declared type give a decimal back as it was stored? With NUMERIC affinity SQLite turns the
/// text of a decimal into a binary floating-point number; only whole numbers within 64 bits stay exact.
pub(super) fn keeps_decimals(declared: &str, ty: &ColumnType) -> bool {
    match ty {
        // 10^18 is the largest power of ten within 63 bits.
        ColumnType::Decimal { precision, scale } => {
            affinity(declared) != Affinity::Numeric || (*scale == 0 && *precision <= 18)
        }
        ColumnType::Numeric => affinity(declared) != Affinity::Numeric,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_have_their_meaning() {
        use ColumnType::*;
        let table: &[(&str, Option<ColumnType>, Affinity)] = &[
            ("INTEGER", Some(Int64), Affinity::Integer),
            ("int", Some(Int64), Affinity::Integer),
            ("BIGINT", Some(Int64), Affinity::Integer),
            ("TINYINT(1)", Some(Int64), Affinity::Integer),
            ("UNSIGNED BIG INT", Some(UInt64), Affinity::Integer),
            ("bigint unsigned", Some(UInt64), Affinity::Integer),
            ("POINT", None, Affinity::Integer),
            ("INTERVAL", None, Affinity::Integer),
            ("REAL", Some(Float64), Affinity::Real),
            ("DOUBLE PRECISION", Some(Float64), Affinity::Real),
            ("FLOAT", Some(Float64), Affinity::Real),
            ("TEXT", Some(Text), Affinity::Text),
            ("VARCHAR(20)", Some(Text), Affinity::Text),
            ("NCHAR(55)", Some(Text), Affinity::Text),
            ("CLOB", Some(Text), Affinity::Text),
            ("BLOB", Some(Bytes), Affinity::Blob),
            ("VARBINARY(16)", Some(Bytes), Affinity::Numeric),
            ("", Some(Text), Affinity::Blob),
            ("ANY", Some(Text), Affinity::Blob),
            ("BOOLEAN", Some(Bool), Affinity::Numeric),
            ("DATE", Some(Date), Affinity::Numeric),
            ("TIME", Some(Time), Affinity::Numeric),
            ("DATETIME", Some(Timestamp), Affinity::Numeric),
            ("TIMESTAMP(6)", Some(Timestamp), Affinity::Numeric),
            ("timestamp (6) with time zone", Some(TimestampTz), Affinity::Numeric),
            ("TIMESTAMPTZ", Some(TimestampTz), Affinity::Numeric),
            ("JSON", Some(Json), Affinity::Numeric),
            ("UUID", Some(Uuid), Affinity::Numeric),
            ("DECIMAL(12,2)", Some(Decimal { precision: 12, scale: 2 }), Affinity::Numeric),
            ("NUMERIC( 18 )", Some(Decimal { precision: 18, scale: 0 }), Affinity::Numeric),
            ("NUMERIC", Some(Numeric), Affinity::Numeric),
            ("DECIMAL(2,12)", None, Affinity::Numeric),
            ("DECIMAL(x)", None, Affinity::Numeric),
            ("GEOMETRY", None, Affinity::Numeric),
        ];
        for (declared, ty, expected) in table {
            assert_eq!(column_type(declared), *ty, "{declared}");
            assert_eq!(affinity(declared), *expected, "{declared}");
        }
    }

    #[test]
    fn only_whole_numbers_of_64_bits_survive_numeric_affinity() {
        let keeps = |declared: &str| keeps_decimals(declared, &column_type(declared).unwrap());
        assert!(keeps("DECIMAL(18)"));
        assert!(!keeps("DECIMAL(19)"));
        assert!(!keeps("DECIMAL(4,1)"));
        assert!(!keeps("NUMERIC"));
        assert!(keeps("BOOLEAN"));
    }
}
