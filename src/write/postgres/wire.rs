//! How the columns of a table travel to PostgreSQL: as elements of binary arrays, or as fields of a binary COPY.

use crate::types::ColumnType;
use crate::write::catalog::CatalogColumn;

/// An array parameter that carries one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// The name of the element type, for `$1::name[]`.
    pub name: &'static str,
    /// The oids of the element type and of its array type.
    pub element: u32,
    pub array: u32,
    /// The type to cast an element to where an assignment alone would not convert it. Without a length or a
    /// precision: a cast would cut silently what an assignment refuses.
    pub cast: Option<String>,
}

const TEXT: (&str, u32, u32) = ("text", 25, 1009);
const BPCHAR: u32 = 1042;
const JSONB: u32 = 3802;
/// `text`, `varchar` and `name`: text converts to them by assignment.
const TEXTS: [u32; 3] = [25, 1043, 19];

impl Parameter {
    /// `None`: a type that the catalog of this database never reports.
    pub fn of(column: &CatalogColumn) -> Option<Self> {
        let (name, element, array) = match column.ty.as_ref()? {
            ColumnType::Bool => ("bool", 16, 1000),
            ColumnType::Int16 => ("int2", 21, 1005),
            ColumnType::Int32 => ("int4", 23, 1007),
            ColumnType::Int64 => ("int8", 20, 1016),
            ColumnType::UInt32 => ("oid", 26, 1028),
            ColumnType::Float32 => ("float4", 700, 1021),
            ColumnType::Float64 => ("float8", 701, 1022),
            ColumnType::Decimal { .. } | ColumnType::Numeric => ("numeric", 1700, 1231),
            ColumnType::Bytes => ("bytea", 17, 1001),
            ColumnType::Uuid => ("uuid", 2950, 2951),
            ColumnType::Date => ("date", 1082, 1182),
            ColumnType::Time => ("time", 1083, 1183),
            ColumnType::Timestamp => ("timestamp", 1114, 1115),
            ColumnType::TimestampTz => ("timestamptz", 1184, 1185),
            ColumnType::Json if column.oid == JSONB => ("jsonb", JSONB, 3807),
            ColumnType::Json => ("json", 114, 199),
            ColumnType::Text | ColumnType::Enum | ColumnType::List(_) => TEXT,
            ColumnType::Int8 | ColumnType::UInt8 | ColumnType::UInt16 | ColumnType::UInt64 => return None,
        };
        let cast = match column.ty.as_ref()? {
            ColumnType::Text if TEXTS.contains(&column.oid) => None,
            // So that a comparison is one of `char(n)`, which ignores trailing blanks and can use the index.
            ColumnType::Text if column.oid == BPCHAR => Some("bpchar".to_owned()),
            ColumnType::Text | ColumnType::Enum | ColumnType::List(_) => Some(without_modifiers(&column.native)),
            _ => None,
        };
        Some(Self { name, element, array, cast })
    }
}

/// Can the column be a field of a binary COPY? Types of which we write only the text form cannot.
pub(super) fn is_copyable(column: &CatalogColumn) -> bool {
    match &column.ty {
        Some(ColumnType::Text) => TEXTS.contains(&column.oid) || column.oid == BPCHAR,
        Some(ColumnType::List(_)) => array_element(column.oid).is_some(),
        ty => ty.is_some(),
    }
}

/// Is `jsonb` what the column holds? Its binary form begins with a version.
pub(super) fn is_jsonb(oid: u32) -> bool {
    oid == JSONB
}

/// The element type of an array type whose elements have a binary form that we write.
pub(super) fn array_element(array: u32) -> Option<u32> {
    Some(match array {
        1000 => 16,
        1001 => 17,
        1003 => 19,
        1005 => 21,
        1007 => 23,
        1009 => 25,
        1014 => BPCHAR,
        1015 => 1043,
        1016 => 20,
        1021 => 700,
        1022 => 701,
        1028 => 26,
        1115 => 1114,
        1182 => 1082,
        1183 => 1083,
        1185 => 1184,
        1231 => 1700,
        199 => 114,
        2951 => 2950,
        3807 => JSONB,
        _ => return None,
    })
}

/// The array type of an element type that tables are created with.
pub(super) fn array_of(element: u32) -> Option<u32> {
    const ARRAYS: [u32; 16] =
        [1000, 1001, 1005, 1007, 1009, 1016, 1021, 1022, 1115, 1182, 1183, 1185, 1231, 199, 2951, 3807];
    ARRAYS.into_iter().find(|&array| array_element(array) == Some(element))
}

/// `varchar(20)[]` as `varchar[]`. Two names mean a length of one when they stand alone, so they are replaced.
fn without_modifiers(native: &str) -> String {
    let mut name = String::with_capacity(native.len());
    let (mut quoted, mut nested) = (false, 0);
    for character in native.chars() {
        match character {
            '"' if nested == 0 => quoted = !quoted,
            '(' if !quoted => nested += 1,
            ')' if !quoted => {
                nested -= 1;
                continue;
            }
            _ => {}
        }
        if nested == 0 {
            name.push(character);
        }
    }
    match name.as_str() {
        "bit" => "\"bit\"".to_owned(),
        "bit[]" => "\"bit\"[]".to_owned(),
        "character" => "bpchar".to_owned(),
        "character[]" => "bpchar[]".to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_never_carries_a_length() {
        for (native, cast) in [
            ("inet", "inet"),
            ("character varying(20)[]", "character varying[]"),
            ("timestamp(3) without time zone[]", "timestamp without time zone[]"),
            ("geometry(Point,4326)", "geometry"),
            ("shop.\"odd (1) name\"", "shop.\"odd (1) name\""),
            ("bit(3)", "\"bit\""),
            ("character(3)[]", "bpchar[]"),
        ] {
            assert_eq!(without_modifiers(native), cast);
        }
    }
}
