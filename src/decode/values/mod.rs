//! Text of one value -> a cell. One family of types a file.

mod binary;
mod decimals;
mod list;
mod numbers;
mod numeral;
mod text;
mod times;
mod zone;

use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::rows::{BytesEncoding, TimeUnit};
use crate::types::{ColumnType, MAX_ARROW_DECIMAL};

use super::builders::{Cells, Fixed, Variable};
use binary::{Binary, Uuids};
use decimals::{CanonicalText, Decimal128, Decimal256};
use list::Lists;
use numbers::{Bools, Float, Integer};
use text::{Json, Text};
use times::{Date, Instant, TimeOfDay};
use zone::Zone;

/// Empty cells of a type. `timezone` is the zone of texts without one.
pub(super) fn cells(
    ty: &ColumnType,
    unit: Option<TimeUnit>,
    encoding: BytesEncoding,
    timezone: Option<&str>,
) -> Box<dyn Cells> {
    let arrow = ty.arrow();
    match *ty {
        ColumnType::Bool => Box::new(Bools::default()),
        ColumnType::Int8 => Box::new(Fixed::new(Integer::<Int8Type>::default(), arrow)),
        ColumnType::Int16 => Box::new(Fixed::new(Integer::<Int16Type>::default(), arrow)),
        ColumnType::Int32 => Box::new(Fixed::new(Integer::<Int32Type>::default(), arrow)),
        ColumnType::Int64 => Box::new(Fixed::new(Integer::<Int64Type>::default(), arrow)),
        ColumnType::UInt8 => Box::new(Fixed::new(Integer::<UInt8Type>::default(), arrow)),
        ColumnType::UInt16 => Box::new(Fixed::new(Integer::<UInt16Type>::default(), arrow)),
        ColumnType::UInt32 => Box::new(Fixed::new(Integer::<UInt32Type>::default(), arrow)),
        ColumnType::UInt64 => Box::new(Fixed::new(Integer::<UInt64Type>::default(), arrow)),
        ColumnType::Float32 => Box::new(Fixed::new(Float::<Float32Type>::default(), arrow)),
        ColumnType::Float64 => Box::new(Fixed::new(Float::<Float64Type>::default(), arrow)),
        ColumnType::Decimal { precision, scale } if precision <= 38 => {
            Box::new(Fixed::new(Decimal128 { precision, scale }, arrow))
        }
        ColumnType::Decimal { precision, scale } if precision <= MAX_ARROW_DECIMAL => {
            Box::new(Fixed::new(Decimal256 { precision, scale }, arrow))
        }
        ColumnType::Decimal { precision, scale } => {
            Box::new(Variable::new(CanonicalText { limit: Some((precision, scale)) }))
        }
        ColumnType::Numeric => Box::new(Variable::new(CanonicalText { limit: None })),
        ColumnType::Text | ColumnType::Enum => Box::new(Variable::new(Text)),
        ColumnType::Bytes => Box::new(Variable::new(Binary { encoding })),
        ColumnType::Uuid => Box::new(Uuids::default()),
        ColumnType::Date => Box::new(Fixed::new(Date { unit }, arrow)),
        ColumnType::Time => Box::new(Fixed::new(TimeOfDay { unit }, arrow)),
        ColumnType::Timestamp => Box::new(Fixed::new(Instant { unit, zone: Zone::utc() }, arrow)),
        ColumnType::TimestampTz => Box::new(Fixed::new(Instant { unit, zone: Zone::named(timezone) }, arrow)),
        ColumnType::Json => Box::new(Variable::new(Json)),
        ColumnType::List(ref element) => Box::new(Lists::new(element, cells(element, unit, encoding, timezone))),
    }
}
