//! Results into the types that the target wants: checked row by row, never rounded but into floating-point columns.
//! The rule for a number with more digits after the point than the target keeps is that of the decoder: digits other
//! than zeros are a bad record.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, StringArray, new_null_array};
use arrow_cast::CastOptions;
use arrow_cast::display::FormatOptions;
use arrow_schema::{ArrowError, DataType};
use datafusion_common::{DataFusionError, Result};

use crate::types::ColumnType;

use super::functions::{RowError, uuids_as_texts};

/// What is done to one output.
#[derive(Debug, Clone)]
pub struct Convert {
    to: DataType,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Whatever its values are, they fit.
    Cast,
    /// Cast there and back: what is no longer the same would have been rounded.
    Exact,
    /// Digits as canonical text.
    Digits,
    UuidToText,
    TextToUuid,
}

const CHECKED: CastOptions =
    CastOptions { safe: false, format_options: FormatOptions::new().with_display_error(false) };

impl Convert {
    /// `None`: there is no conversion that keeps every value.
    pub fn new(from: &ColumnType, to: &ColumnType) -> Option<Self> {
        if !from.converts_to(to) {
            return None;
        }
        Some(Self { to: to.arrow(), how: how(from, to) })
    }

    pub fn target(&self) -> &DataType {
        &self.to
    }

    pub fn run(&self, array: ArrayRef) -> Result<ArrayRef> {
        let from = array.data_type();
        if *from == self.to && self.how != How::Digits {
            return Ok(array);
        }
        if *from == DataType::Null {
            return Ok(new_null_array(&self.to, array.len()));
        }
        match self.how {
            How::Cast => self.cast(&array),
            How::Exact => self.exact(&array),
            How::Digits => digits(&array),
            How::UuidToText => Ok(Arc::new(uuids_as_texts(uuids(&array)?))),
            How::TextToUuid => texts_as_uuids(&array),
        }
    }

    fn cast(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let cast = arrow_cast::cast_with_options(array, &self.to, &CHECKED)?;
        // A number beyond `real` would silently become infinite.
        if let (DataType::Float64, DataType::Float32) = (array.data_type(), &self.to) {
            let (wide, narrow) = (array.as_primitive::<Float64Type>(), cast.as_primitive::<Float32Type>());
            let overflows = |row| wide.is_valid(row) && wide.value(row).is_finite() && !narrow.value(row).is_finite();
            if (0..wide.len()).any(overflows) {
                return Err(row_error("out-of-range", "the result is beyond the range of its column"));
            }
        }
        Ok(cast)
    }

    fn exact(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let cast = arrow_cast::cast_with_options(array, &self.to, &CHECKED)?;
        let back = arrow_cast::cast_with_options(&cast, array.data_type(), &CHECKED)?;
        match back.as_ref() == array.as_ref() {
            true => Ok(cast),
            false => Err(row_error("inexact", "the result has more digits after the point than the column keeps")),
        }
    }
}

fn how(from: &ColumnType, to: &ColumnType) -> How {
    use ColumnType::{Decimal, Numeric, Text, Uuid};
    match (from, to) {
        (Uuid, Text) => How::UuidToText,
        (Text, Uuid) => How::TextToUuid,
        (from, to) if from == to => How::Cast,
        (Decimal { .. }, Numeric) => How::Digits,
        (from, Numeric) if from.is_integer() => How::Digits,
        (from, Decimal { precision, .. }) if *precision > crate::types::MAX_ARROW_DECIMAL && from != to => How::Digits,
        (Decimal { scale, .. }, Decimal { scale: kept, .. }) if scale > kept => How::Exact,
        (Decimal { .. }, to) if to.is_integer() => How::Exact,
        (ColumnType::List(from), ColumnType::List(to)) => how(from, to),
        _ => How::Cast,
    }
}

fn row_error(class: &'static str, what: &'static str) -> DataFusionError {
    DataFusionError::External(Box::new(RowError { class, what }))
}

/// In the one form that equal numbers share: no zeros that say nothing.
fn digits(array: &ArrayRef) -> Result<ArrayRef> {
    let texts = arrow_cast::cast_with_options(array, &DataType::Utf8, &CHECKED)?;
    let texts: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(canonical)).collect();
    Ok(Arc::new(texts))
}

fn canonical(text: &str) -> &str {
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if short == "-0" { "0" } else { short }
}

fn uuids(array: &ArrayRef) -> Result<&FixedSizeBinaryArray> {
    let uuids = array.as_any().downcast_ref();
    uuids.ok_or_else(|| DataFusionError::ArrowError(Box::new(ArrowError::CastError("a uuid".to_owned())), None))
}

fn texts_as_uuids(array: &ArrayRef) -> Result<ArrayRef> {
    let texts = arrow_cast::cast_with_options(array, &DataType::Utf8, &CHECKED)?;
    let parse = |text: &str| {
        let digits: String = text.chars().filter(|char| *char != '-').collect();
        let mut uuid = [0u8; 16];
        let parsed = hex::decode_to_slice(digits, &mut uuid).map(|()| uuid);
        parsed.map_err(|_| row_error("wrong-type", "the result is no uuid"))
    };
    let uuids = texts.as_string::<i32>().iter().map(|text| text.map(parse).transpose()).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(uuids.into_iter(), 16)?))
}
