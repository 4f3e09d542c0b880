//! Columns' types on the engine's side and back: the kind in a field's metadata tells apart what travels alike.

use arrow_schema::{DataType, Field};
use tidegate_sql::{JSON, KIND, NUMERIC, UUID};

use crate::types::{ColumnType, MAX_ARROW_DECIMAL};

/// An input column as the engine sees it.
pub fn field(name: &str, ty: &ColumnType) -> Field {
    let field = Field::new(name, ty.arrow(), true);
    // A list's kind is that of its elements.
    let element = match ty {
        ColumnType::List(element) => element.as_ref(),
        other => other,
    };
    let kind = match element {
        ColumnType::Json => JSON,
        ColumnType::Uuid => UUID,
        ColumnType::Numeric => NUMERIC,
        ColumnType::Decimal { precision, .. } if *precision > MAX_ARROW_DECIMAL => NUMERIC,
        _ => return field,
    };
    field.with_metadata([(KIND.to_owned(), kind.to_owned())].into())
}

/// The nearest type of a result. `None`: no column holds it.
pub fn column_type(field: &Field) -> Option<ColumnType> {
    let kind = field.metadata().get(KIND).map(String::as_str);
    Some(match field.data_type() {
        DataType::Boolean => ColumnType::Bool,
        DataType::Int8 => ColumnType::Int8,
        DataType::Int16 => ColumnType::Int16,
        DataType::Int32 => ColumnType::Int32,
        DataType::Int64 => ColumnType::Int64,
        DataType::UInt8 => ColumnType::UInt8,
        DataType::UInt16 => ColumnType::UInt16,
        DataType::UInt32 => ColumnType::UInt32,
        DataType::UInt64 => ColumnType::UInt64,
        DataType::Float16 | DataType::Float32 => ColumnType::Float32,
        DataType::Float64 => ColumnType::Float64,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let scale = u32::try_from(*s).ok()?;
            ColumnType::Decimal { precision: u32::from(*p), scale }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if kind == Some(JSON) => ColumnType::Json,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => ColumnType::Text,
        DataType::FixedSizeBinary(16) if kind == Some(UUID) => ColumnType::Uuid,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnType::Bytes
        }
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time,
        DataType::Timestamp(_, None) => ColumnType::Timestamp,
        DataType::Timestamp(_, Some(_)) => ColumnType::TimestampTz,
        DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
            let element = element.as_ref().clone().with_metadata(field.metadata().clone());
            match column_type(&element)? {
                ColumnType::List(_) => return None,
                element => ColumnType::List(Box::new(element)),
            }
        }
        DataType::Dictionary(_, value) => return column_type(&Field::new("", value.as_ref().clone(), true)),
        _ => return None,
    })
}
