//! Windows in microseconds, for every time that a column holds, and time zones.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, PrimitiveBuilder};
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, ArrayRef, IntervalMonthDayNanoArray, PrimitiveArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarUDF};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Own, column, is_text, no_such_form, row_error, strings};

pub fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Own::udf(
            "date_bin",
            stride_and_time,
            |args| Ok(Field::new("date_bin", args.arg_fields[1].data_type().clone(), true)),
            date_bin,
        ),
        Own::udf("hop", time_and_two_intervals, hop_returns, hop),
        Own::udf("at_time_zone", time_and_zone, at_time_zone_returns, at_time_zone),
    ]
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Microseconds of it.
fn time(ty: &DataType) -> Option<DataType> {
    match ty {
        DataType::Timestamp(_, zone) => Some(DataType::Timestamp(TimeUnit::Microsecond, zone.clone())),
        DataType::Date32 | DataType::Null => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        _ => None,
    }
}

fn is_interval(ty: &DataType) -> bool {
    matches!(ty, DataType::Interval(_) | DataType::Duration(_))
}

fn stride_and_time(types: &[DataType]) -> Result<Vec<DataType>> {
    let found = match types {
        [stride, at] if is_interval(stride) => time(at).map(|at| vec![INTERVAL, at]),
        [stride, at, origin] if is_interval(stride) && (time(origin).is_some() || is_text(origin)) => {
            time(at).map(|at| vec![INTERVAL, at.clone(), at])
        }
        _ => None,
    };
    match found {
        Some(types) => Ok(types),
        None => {
            no_such_form("date_bin takes an interval and a time", "write date_bin(interval '1 minute', created_at)")
        }
    }
}

fn time_and_two_intervals(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [at, slide, size] if is_interval(slide) && is_interval(size) && time(at).is_some() => {
            Ok(vec![time(at).unwrap_or(DataType::Null), INTERVAL, INTERVAL])
        }
        _ => no_such_form(
            "hop takes a time, the slide and the size of a window",
            "write UNNEST(hop(created_at, interval '1 minute', interval '5 minutes'))",
        ),
    }
}

fn hop_returns(args: &ReturnFieldArgs) -> Result<Field> {
    let element = Field::new("item", args.arg_fields[0].data_type().clone(), true);
    Ok(Field::new("hop", DataType::List(Arc::new(element)), true))
}

/// The microseconds of the intervals of one argument, computed once where it is constant.
enum Strides {
    Constant(Option<i64>),
    Each(ArrayRef),
}

impl Strides {
    fn of(arg: &ColumnarValue) -> Result<Self> {
        match arg {
            ColumnarValue::Scalar(value) => {
                let one = value.to_array_of_size(1)?;
                Ok(Self::Constant(stride(&one, 0)?))
            }
            ColumnarValue::Array(array) => Ok(Self::Each(array.clone())),
        }
    }

    fn at(&self, row: usize) -> Result<Option<i64>> {
        match self {
            Self::Constant(micros) => Ok(*micros),
            Self::Each(array) => stride(array, row),
        }
    }
}

fn stride(intervals: &ArrayRef, row: usize) -> Result<Option<i64>> {
    let intervals = intervals.as_any().downcast_ref::<IntervalMonthDayNanoArray>();
    let intervals = intervals.ok_or_else(|| DataFusionError::Internal("an interval was expected".to_owned()))?;
    if intervals.is_null(row) {
        return Ok(None);
    }
    let interval = intervals.value(row);
    if interval.months != 0 {
        return Err(row_error(
            "out-of-range",
            "a window of months or years has no fixed length: use date_trunc('month', x)",
        ));
    }
    if interval.nanoseconds % 1_000 != 0 {
        return Err(row_error("out-of-range", "a window is a whole number of microseconds"));
    }
    let micros = i64::from(interval.days)
        .checked_mul(86_400_000_000)
        .and_then(|days| days.checked_add(interval.nanoseconds / 1_000));
    match micros {
        Some(micros) if micros > 0 => Ok(Some(micros)),
        _ => Err(row_error("out-of-range", "a window is longer than nothing")),
    }
}

fn times(array: &ArrayRef) -> Result<&TimestampMicrosecondArray> {
    let times = array.as_any().downcast_ref();
    times.ok_or_else(|| DataFusionError::Internal("a time was expected".to_owned()))
}

fn beyond() -> DataFusionError {
    row_error("out-of-range", "the window begins before the earliest time")
}

/// The start of the window of a time: windows count from 1970 or from the origin, and before it as well.
fn bin(stride: i64, at: i64, origin: i64) -> Result<i64> {
    let (stride, at, origin) = (i128::from(stride), i128::from(at), i128::from(origin));
    let start = (at - origin).div_euclid(stride) * stride + origin;
    i64::try_from(start).map_err(|_| beyond())
}

fn date_bin(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let strides = Strides::of(&args[0])?;
    let at = column(&args[1], rows)?;
    let at = times(&at)?;
    let origins = args.get(2).map(|origin| column(origin, rows)).transpose()?;
    let origins = origins.as_ref().map(times).transpose()?;
    let starts: PrimitiveArray<TimestampMicrosecondType> = match (&strides, origins) {
        (Strides::Constant(Some(stride)), None) => at.try_unary(|at| bin(*stride, at, 0))?,
        _ => {
            let start = |row: usize| {
                let origin = match origins {
                    Some(origins) if origins.is_null(row) => return Ok(None),
                    Some(origins) => origins.value(row),
                    None => 0,
                };
                match strides.at(row)? {
                    Some(stride) if at.is_valid(row) => bin(stride, at.value(row), origin).map(Some),
                    _ => Ok(None),
                }
            };
            (0..rows).map(start).collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(starts.with_data_type(at.data_type().clone())))
}

/// More windows than this for one row are a mistake.
const MAX_WINDOWS: i64 = 1_000;

fn hop(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let at = column(&args[0], rows)?;
    let at = times(&at)?;
    let (slides, sizes) = (Strides::of(&args[1])?, Strides::of(&args[2])?);
    let element = Field::new("item", at.data_type().clone(), true);
    let starts = PrimitiveBuilder::<TimestampMicrosecondType>::new().with_data_type(at.data_type().clone());
    let mut out = ListBuilder::new(starts).with_field(element);
    for row in 0..rows {
        let (Some(slide), Some(size), true) = (slides.at(row)?, sizes.at(row)?, at.is_valid(row)) else {
            out.append_null();
            continue;
        };
        if size / slide > MAX_WINDOWS {
            return Err(row_error("out-of-range", "hop would make more than 1000 windows of one row"));
        }
        let last = bin(slide, at.value(row), 0)?;
        // The oldest window that still holds the time, then the later ones.
        let first_end = at.value(row).checked_sub(size).ok_or_else(beyond)?;
        let mut start = bin(slide, first_end, 0)?.checked_add(slide).ok_or_else(beyond)?;
        while start <= last {
            out.values().append_value(start);
            start += slide;
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

fn time_and_zone(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [at @ DataType::Timestamp(..), zone] if is_text(zone) => {
            Ok(vec![time(at).unwrap_or(DataType::Null), DataType::Utf8])
        }
        _ => no_such_form(
            "AT TIME ZONE takes a timestamp or timestamptz",
            "write created_at AT TIME ZONE 'Europe/Berlin'",
        ),
    }
}

fn at_time_zone_returns(args: &ReturnFieldArgs) -> Result<Field> {
    let zone = match args.arg_fields[0].data_type() {
        DataType::Timestamp(_, Some(_)) => None,
        _ => Some("UTC".into()),
    };
    if let Some(Some(datafusion_common::ScalarValue::Utf8(Some(name)))) = args.scalar_arguments.get(1)
        && TimeZone::get(name).is_err()
    {
        return no_such_form(&format!("there is no time zone {name}"), "write its IANA name, like 'Europe/Berlin'");
    }
    Ok(Field::new("at_time_zone", DataType::Timestamp(TimeUnit::Microsecond, zone), true))
}

/// An instant becomes the local time there, a local time the instant.
fn at_time_zone(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let at = column(&args[0], rows)?;
    let at = times(&at)?;
    let zones = column(&args[1], rows)?;
    let zones = strings(&zones)?;
    let is_instant = matches!(at.data_type(), DataType::Timestamp(_, Some(_)));
    let mut last: Option<(String, TimeZone)> = None;
    let mut out = TimestampMicrosecondArray::builder(rows);
    for row in 0..rows {
        if at.is_null(row) || zones.is_null(row) {
            out.append_null();
            continue;
        }
        let name = zones.value(row);
        if last.as_ref().is_none_or(|(last, _)| last != name) {
            let zone = TimeZone::get(name).map_err(|_| row_error("wrong-type", "there is no such time zone"))?;
            last = Some((name.to_owned(), zone));
        }
        let Some((_, zone)) = &last else { continue };
        out.append_value(if is_instant { to_local(at.value(row), zone)? } else { to_instant(at.value(row), zone)? });
    }
    let zone = if is_instant { None } else { Some("UTC") };
    Ok(Arc::new(out.finish().with_timezone_opt(zone)))
}

fn no_time<E>(_: E) -> DataFusionError {
    row_error("out-of-range", "a time beyond the years -9999 to 9999 has no time zone")
}

fn to_local(micros: i64, zone: &TimeZone) -> Result<i64> {
    let local = Timestamp::from_microsecond(micros).map_err(no_time)?.to_zoned(zone.clone()).datetime();
    Ok(TimeZone::UTC.to_timestamp(local).map_err(no_time)?.as_microsecond())
}

/// A time that a change of clocks skips moves forward; one that happens twice is the first.
fn to_instant(micros: i64, zone: &TimeZone) -> Result<i64> {
    let local: DateTime = Timestamp::from_microsecond(micros).map_err(no_time)?.to_zoned(TimeZone::UTC).datetime();
    Ok(zone.to_timestamp(local).map_err(no_time)?.as_microsecond())
}
