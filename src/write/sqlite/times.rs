//! Dates and times as text. All forms have a fixed width, so that they sort by time, and SQLite's own date functions
//! understand them.

use jiff::civil::DateTime;
use jiff::tz::Offset;

/// What to say of a time for which the functions here return `None`.
pub(super) const OUT_OF_RANGE: &str = "the time lies outside of the years 0000 to 9999, which SQLite's forms can hold";

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// `2026-11-21`, from days since 1970.
pub(super) fn date(days: i32) -> Option<String> {
    let at = civil(i64::from(days).checked_mul(SECONDS_PER_DAY * MICROS_PER_SECOND)?)?;
    Some(format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day()))
}

/// `10:00:00.123456`, from microseconds since midnight.
pub(super) fn time(micros: i64) -> Option<String> {
    if !(0..SECONDS_PER_DAY * MICROS_PER_SECOND).contains(&micros) {
        return None;
    }
    let at = civil(micros)?;
    Some(clock(&at))
}

/// `2026-11-21 10:00:00.123456`, from microseconds since 1970 of a clock without zone.
pub(super) fn timestamp(micros: i64) -> Option<String> {
    let at = civil(micros)?;
    Some(format!("{:04}-{:02}-{:02} {}", at.year(), at.month(), at.day(), clock(&at)))
}

/// `2026-11-21T10:00:00.123456Z` (RFC 3339), from microseconds since 1970.
pub(super) fn timestamptz(micros: i64) -> Option<String> {
    let at = civil(micros)?;
    Some(format!("{:04}-{:02}-{:02}T{}Z", at.year(), at.month(), at.day(), clock(&at)))
}

fn clock(at: &DateTime) -> String {
    format!("{:02}:{:02}:{:02}.{:06}", at.hour(), at.minute(), at.second(), at.subsec_nanosecond() / 1000)
}

fn civil(micros: i64) -> Option<DateTime> {
    let at = Offset::UTC.to_datetime(jiff::Timestamp::from_microsecond(micros).ok()?);
    (0..=9999).contains(&at.year()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_a_fixed_width() {
        assert_eq!(date(20_778).as_deref(), Some("2026-11-21"));
        assert_eq!(date(-719_528).as_deref(), Some("0000-01-01"));
        assert_eq!(time(36_000_123_456).as_deref(), Some("10:00:00.123456"));
        assert_eq!(time(0).as_deref(), Some("00:00:00.000000"));
        assert_eq!(timestamp(-1).as_deref(), Some("1969-12-31 23:59:59.999999"));
        assert_eq!(timestamptz(1_795_255_200_123_456).as_deref(), Some("2026-11-21T10:00:00.123456Z"));
    }

    #[test]
    fn what_has_no_form_is_told() {
        assert_eq!(date(i32::MAX), None);
        assert_eq!(date(-719_529), None, "the year before 0000");
        assert_eq!(timestamp(i64::MAX), None);
        assert_eq!(time(86_400_000_000), None);
        assert_eq!(time(-1), None);
    }
}
