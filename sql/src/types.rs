//! SQL's type names to columns' types: times in microseconds, decimals with their digits, and nothing whose meaning
//! would be guessed.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::planner::TypePlanner;
use datafusion_sql::sqlparser::ast::{DataType as SqlType, ExactNumberInfo, TimezoneInfo};

use crate::{JSON, KIND};

#[derive(Debug)]
pub struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        let ty = match sql_type {
            SqlType::Timestamp(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            SqlType::Timestamp(None | Some(6), TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
            }
            SqlType::Timestamp(..) => return refuse(sql_type, "times have microseconds: timestamp or timestamptz"),
            SqlType::Datetime(_) => return refuse(sql_type, "write timestamp"),
            SqlType::Time(None | Some(6), TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                DataType::Time64(TimeUnit::Microsecond)
            }
            SqlType::Time(..) => return refuse(sql_type, "write time: microseconds, without a zone"),
            SqlType::Numeric(ExactNumberInfo::None) | SqlType::Decimal(ExactNumberInfo::None) => {
                return refuse(sql_type, "write its digits: decimal(12,2)");
            }
            SqlType::Varchar(Some(_)) | SqlType::Char(Some(_)) | SqlType::CharacterVarying(Some(_)) => {
                return refuse(sql_type, "write text; left(x, 10) cuts");
            }
            SqlType::Varchar(None) | SqlType::CharacterVarying(None) | SqlType::Text | SqlType::String(_) => {
                DataType::Utf8
            }
            SqlType::Bytea | SqlType::Blob(_) | SqlType::Varbinary(_) | SqlType::Bytes(_) => DataType::Binary,
            SqlType::JSON | SqlType::JSONB => {
                let metadata = HashMap::from([(KIND.to_owned(), JSON.to_owned())]);
                return Ok(Some(Arc::new(Field::new("", DataType::Utf8, true).with_metadata(metadata))));
            }
            SqlType::Uuid => return refuse(sql_type, "keep the text: the target's uuid column takes it"),
            SqlType::Custom(name, _) => return refuse(&name, "docs/sql.md lists the types"),
            _ => return Ok(None),
        };
        Ok(Some(Arc::new(Field::new("", ty, true))))
    }
}

/// The cure comes after a tab: see `typed::explain`.
fn refuse<T>(ty: &dyn std::fmt::Display, cure: &str) -> Result<T> {
    Err(DataFusionError::Plan(format!("no cast to {ty}\t{cure}")))
}

/// A type as `[source.columns]` and SQL write it.
pub fn name_of(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::UInt8 => "tinyint unsigned".to_owned(),
        DataType::UInt16 => "smallint unsigned".to_owned(),
        DataType::UInt32 => "int unsigned".to_owned(),
        DataType::UInt64 => "bigint unsigned".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            format!("decimal({p},{s})")
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytes".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(_, None) => "timestamp".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            format!("{}[]", name_of(field.data_type()))
        }
        DataType::Null => "null".to_owned(),
        DataType::Dictionary(_, value) => name_of(value),
        DataType::Struct(_) => "struct".to_owned(),
        DataType::Map(..) => "map".to_owned(),
        _ => "another type".to_owned(),
    }
}
