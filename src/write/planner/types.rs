//! A declared type against the type of the table's column.

use crate::types::ColumnType;

/// What the decoder makes of a field that `declared` describes and a column of type `table` stores: the table's type,
/// where it holds every value of the declared one, for it knows best what it can store. `None`: values would be lost.
pub fn decoded(declared: &ColumnType, table: &ColumnType, zone_is_known: bool) -> Option<ColumnType> {
    match (declared, table) {
        // Only the declaration tells documents from texts; both are stored as text.
        (ColumnType::Json, ColumnType::Text) => Some(ColumnType::Json),
        (ColumnType::List(declared), ColumnType::List(table)) => {
            Some(ColumnType::List(Box::new(decoded(declared, table, zone_is_known)?)))
        }
        _ => holds(table, declared, zone_is_known).then(|| table.clone()),
    }
}

/// As [`decoded`], for SQLite: it has no types of its own for decimals and times, which are stored as text in the
/// documented forms, nor for booleans.
pub fn decoded_without_types(declared: &ColumnType, table: &ColumnType, zone_is_known: bool) -> Option<ColumnType> {
    match (declared, table) {
        (ColumnType::List(_) | ColumnType::Bytes, ColumnType::Text) => None,
        (_, ColumnType::Text) => Some(declared.clone()),
        (ColumnType::Bool, table) if integer(table).is_some() => Some(ColumnType::Bool),
        _ => decoded(declared, table, zone_is_known),
    }
}

fn holds(table: &ColumnType, declared: &ColumnType, zone_is_known: bool) -> bool {
    use ColumnType::{Decimal, Enum, Float32, Float64, Numeric, Text, Timestamp, TimestampTz};
    match (declared, table) {
        (declared, table) if declared == table => true,
        (Text, Enum) | (Enum, Text) | (Float32, Float64) | (Decimal { .. }, Numeric) => true,
        // An instant is stored as its UTC date and time.
        (TimestampTz, Timestamp) => true,
        (Timestamp, TimestampTz) => zone_is_known,
        (Decimal { precision, scale }, Decimal { precision: wider, scale: finer }) => {
            finer >= scale && wider.saturating_sub(*finer) >= precision.saturating_sub(*scale)
        }
        (declared, table) => integer(declared).is_some_and(|integer| holds_integer(table, &integer)),
    }
}

struct Integer {
    signed: bool,
    bits: u32,
}

impl Integer {
    /// The longest value's.
    fn digits(&self) -> u32 {
        match (self.bits, self.signed) {
            (8, _) => 3,
            (16, _) => 5,
            (32, _) => 10,
            (_, true) => 19,
            (_, false) => 20,
        }
    }
}

fn integer(ty: &ColumnType) -> Option<Integer> {
    let (signed, bits) = match ty {
        ColumnType::Int8 => (true, 8),
        ColumnType::Int16 => (true, 16),
        ColumnType::Int32 => (true, 32),
        ColumnType::Int64 => (true, 64),
        ColumnType::UInt8 => (false, 8),
        ColumnType::UInt16 => (false, 16),
        ColumnType::UInt32 => (false, 32),
        ColumnType::UInt64 => (false, 64),
        _ => return None,
    };
    Some(Integer { signed, bits })
}

fn holds_integer(table: &ColumnType, declared: &Integer) -> bool {
    match table {
        ColumnType::Numeric => true,
        ColumnType::Decimal { precision, scale } => precision.saturating_sub(*scale) >= declared.digits(),
        // 24 and 53 bits of a number are exact.
        ColumnType::Float32 => declared.bits <= 16,
        ColumnType::Float64 => declared.bits <= 32,
        _ => integer(table).is_some_and(|table| match (declared.signed, table.signed) {
            (true, false) => false,
            (false, true) => declared.bits < table.bits,
            _ => declared.bits <= table.bits,
        }),
    }
}

/// Can a number stand for a value of this type, so that its unit matters?
pub fn is_time(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Date | ColumnType::Time | ColumnType::Timestamp | ColumnType::TimestampTz => true,
        ColumnType::List(element) => is_time(element),
        _ => false,
    }
}

pub fn is_bytes(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Bytes => true,
        ColumnType::List(element) => is_bytes(element),
        _ => false,
    }
}

/// Do the daemon and the database agree on what is newer? Texts have collations, and numbers that are stored as text
/// do not order as numbers; times in their text form do.
pub fn is_version(decoded: &ColumnType, table: &ColumnType) -> bool {
    use ColumnType::{Date, Decimal, Float32, Float64, Numeric, Time, Timestamp, TimestampTz};
    match decoded {
        Date | Time | Timestamp | TimestampTz => true,
        Float32 | Float64 | Decimal { .. } | Numeric => *table != ColumnType::Text,
        other => integer(other).is_some() && *table != ColumnType::Text,
    }
}

#[cfg(test)]
mod tests {
    use ColumnType::*;

    use super::*;

    fn decimal(precision: u32, scale: u32) -> ColumnType {
        Decimal { precision, scale }
    }

    #[test]
    fn the_tables_type_rules_where_it_holds_every_value() {
        let fits = [
            (Int32, Int64),
            (UInt32, Int64),
            (UInt8, Int16),
            (UInt8, UInt64),
            (Int16, Float32),
            (UInt32, Float64),
            (Int64, Numeric),
            (Int64, decimal(19, 0)),
            (UInt64, decimal(22, 2)),
            (decimal(12, 2), decimal(14, 4)),
            (decimal(12, 2), Numeric),
            (Float32, Float64),
            (Text, Enum),
            (Enum, Text),
            (TimestampTz, Timestamp),
            (List(Box::new(Int32)), List(Box::new(Int64))),
            (Json, Json),
            (Bytes, Bytes),
            (Uuid, Uuid),
        ]; // declared, table
        for (declared, table) in fits {
            assert_eq!(decoded(&declared, &table, false), Some(table.clone()), "{declared} into {table}");
        }
        assert_eq!(decoded(&Timestamp, &TimestampTz, true), Some(TimestampTz));
        assert_eq!(decoded(&Json, &Text, false), Some(Json));
    }

    #[test]
    fn what_would_lose_values_does_not_fit() {
        let misfits = [
            (Int64, Int32),
            (Int8, UInt64),
            (UInt64, Int64),
            (Int32, Float32),
            (Int64, Float64),
            (Int64, decimal(20, 2)),
            (decimal(12, 2), decimal(12, 4)),
            (decimal(12, 2), decimal(14, 1)),
            (decimal(5, 2), Int64),
            (Numeric, decimal(38, 10)),
            (Float64, Float32),
            (Float64, Numeric),
            (Text, Int64),
            (Int64, Text),
            (Text, Json),
            (Timestamp, TimestampTz),
            (Date, Timestamp),
            (TimestampTz, Text),
            (Uuid, Bytes),
            (Bool, Int8),
            (List(Box::new(Int64)), List(Box::new(Int32))),
            (Int32, List(Box::new(Int32))),
        ];
        for (declared, table) in misfits {
            assert_eq!(decoded(&declared, &table, false), None, "{declared} into {table}");
        }
    }

    #[test]
    fn a_database_without_types_keeps_the_declared_one() {
        for declared in [TimestampTz, Date, decimal(12, 2), Uuid, Bool, Json, Text] {
            assert_eq!(decoded_without_types(&declared, &Text, false), Some(declared.clone()));
        }
        assert_eq!(decoded_without_types(&Bool, &Int64, false), Some(Bool));
        assert_eq!(decoded_without_types(&Int32, &Int64, false), Some(Int64));
        for (declared, table) in [(TimestampTz, Int64), (decimal(12, 2), Float64), (Bytes, Text)] {
            assert_eq!(decoded_without_types(&declared, &table, false), None);
        }
    }

    #[test]
    fn versions_order_the_same_here_and_there() {
        assert!(is_version(&Int64, &Int64) && is_version(&Numeric, &Numeric) && is_version(&TimestampTz, &Text));
        assert!(!is_version(&Text, &Text) && !is_version(&decimal(12, 2), &Text) && !is_version(&Bool, &Bool));
    }
}
