//! Keys of one type that are compared with another.

use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;

use crate::types::{ColumnType, MAX_ARROW_DECIMAL};

/// Can a value of one type equal one of the other? What does not fit the lookup's type then equals nothing.
pub fn compares(from: &ColumnType, to: &ColumnType) -> bool {
    use ColumnType::{Decimal, Enum, Text};
    let is_decimal = |precision: &u32| *precision <= MAX_ARROW_DECIMAL;
    match (from, to) {
        (from, to) if from == to => true,
        (Text, Enum) | (Enum, Text) => true,
        (from, Decimal { precision, .. }) if from.is_integer() => is_decimal(precision),
        (Decimal { precision, scale }, Decimal { precision: wide, scale: kept }) => {
            scale <= kept && is_decimal(precision) && is_decimal(wide)
        }
        (Decimal { precision, scale: 0 }, to) if to.is_integer() => is_decimal(precision),
        (from, to) => from.is_integer() && to.is_integer(),
    }
}

/// Keys in another type of the same kind; what does not fit it is null.
pub fn as_key(keys: &ArrayRef, ty: &DataType) -> ArrayRef {
    if keys.data_type() == ty {
        return keys.clone();
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(keys, ty, &options).unwrap_or_else(|_| new_null_array(ty, keys.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int32Type;

    use super::*;

    #[test]
    fn what_does_not_fit_equals_nothing() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(3_000_000_000), None]));
        let keys = as_key(&keys, &DataType::Int32);
        assert_eq!(keys.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(7), None, None]);
    }

    #[test]
    fn numbers_equal_numbers_and_texts_texts() {
        use ColumnType::{Decimal, Enum, Float64, Int32, Int64, Text, UInt8, Uuid};
        let decimal = |scale| Decimal { precision: 12, scale };
        for (from, to) in [(Int64, Int32), (UInt8, Int64), (Int64, decimal(2)), (decimal(0), Int64), (Text, Enum)] {
            assert!(compares(&from, &to), "{from} {to}");
        }
        for (from, to) in [(Text, Int64), (decimal(2), Int64), (decimal(4), decimal(2)), (Text, Uuid), (Float64, Int64)]
        {
            assert!(!compares(&from, &to), "{from} {to}");
        }
    }
}
