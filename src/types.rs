//! The types of columns, the same for every format and every database, and how each travels in Arrow.

use std::fmt;

use arrow_schema::{DataType, TimeUnit};

/// What a column holds. A database's catalog and `[source.columns]` both speak it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnType {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    /// Exact. `precision` digits in all, `scale` of them after the point.
    Decimal {
        precision: u32,
        scale: u32,
    },
    /// Exact, of any size (PostgreSQL's bare `numeric`).
    Numeric,
    Text,
    /// A label of an enumeration: text that the database checks.
    Enum,
    Bytes,
    Uuid,
    Date,
    /// Time of day, microseconds, without zone.
    Time,
    /// Date and time, microseconds, without zone.
    Timestamp,
    /// An instant, microseconds.
    TimestampTz,
    /// Any JSON document, as its text.
    Json,
    /// A one-dimensional array (PostgreSQL).
    List(Box<ColumnType>),
}

/// Arrow's widest exact decimal; beyond it an exact decimal travels as its canonical text.
pub const MAX_ARROW_DECIMAL: u32 = 76;

impl ColumnType {
    /// The Arrow type that carries the column from decode to write.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } if *precision <= 38 => {
                DataType::Decimal128(*precision as u8, *scale as i8)
            }
            Self::Decimal { precision, scale } if *precision <= MAX_ARROW_DECIMAL => {
                DataType::Decimal256(*precision as u8, *scale as i8)
            }
            Self::Decimal { .. } | Self::Numeric | Self::Text | Self::Enum | Self::Json => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::List(element) => DataType::new_list(element.arrow(), true),
        }
    }
}

impl ColumnType {
    /// Can a computed value of this type be stored in a column of type `to`, by a conversion that is checked row by
    /// row? Nothing is rounded but numbers into floating-point columns; nothing becomes text, nor comes from it,
    /// unless the statement casts it.
    pub fn converts_to(&self, to: &Self) -> bool {
        use ColumnType::{Decimal, Enum, Float32, Float64, Json, List, Numeric, Text, Timestamp, TimestampTz, Uuid};
        match (self, to) {
            (from, to) if from == to => true,
            (Text, Enum | Json | Uuid) | (Enum | Json | Uuid, Text) | (TimestampTz, Timestamp) => true,
            (Float32, Float64) | (Float64, Float32) => true,
            (List(from), List(to)) => from.is_integer() && to.is_integer(),
            (from, Float32 | Float64) => from.is_exact(),
            // Beyond Arrow's decimals a number travels as text, whose digits nobody counts before the database does.
            (Decimal { scale, .. }, Decimal { precision, scale: kept }) if *precision > MAX_ARROW_DECIMAL => {
                scale <= kept
            }
            (from, Decimal { .. }) => from.is_exact(),
            (from, Numeric) => from.is_exact(),
            (from, to) => from.is_exact() && to.is_integer(),
        }
    }

    pub fn is_integer(&self) -> bool {
        use ColumnType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
        matches!(self, Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64)
    }

    /// An integer, or a decimal that can be computed with.
    fn is_exact(&self) -> bool {
        self.is_integer() || matches!(self, Self::Decimal { precision, .. } if *precision <= MAX_ARROW_DECIMAL)
    }
}

/// As `[source.columns]` writes it.
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("boolean"),
            Self::Int8 => f.write_str("tinyint"),
            Self::Int16 => f.write_str("smallint"),
            Self::Int32 => f.write_str("int"),
            Self::Int64 => f.write_str("bigint"),
            Self::UInt8 => f.write_str("tinyint unsigned"),
            Self::UInt16 => f.write_str("smallint unsigned"),
            Self::UInt32 => f.write_str("int unsigned"),
            Self::UInt64 => f.write_str("bigint unsigned"),
            Self::Float32 => f.write_str("real"),
            Self::Float64 => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Numeric => f.write_str("decimal"),
            Self::Text => f.write_str("text"),
            Self::Enum => f.write_str("enum"),
            Self::Bytes => f.write_str("bytes"),
            Self::Uuid => f.write_str("uuid"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::TimestampTz => f.write_str("timestamptz"),
            Self::Json => f.write_str("json"),
            Self::List(element) => write!(f, "{element}[]"),
        }
    }
}
