//! Dates, times of day and instants: ISO 8601 / RFC 3339 text, or numbers with a unit.
//!
//! Databases keep microseconds: digits beyond them are cut, towards the past. A leap second (`:60`) is the first
//! second of the next minute, as PostgreSQL has it; `24:00` is midnight of the next day.

use arrow_array::types::{Date32Type, Time64MicrosecondType, TimestampMicrosecondType};

use crate::decode::builders::Parse;
use crate::decode::problem::Problem;
use crate::decode::token::{Input, Token};
use crate::rows::TimeUnit;

use super::numeral::Numeral;
use super::zone::Zone;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A number in microseconds, or text.
enum Reading<'a> {
    Micros(i64),
    Text(&'a str),
}

fn read<'s>(input: Input<'s>, unit: Option<TimeUnit>, scratch: &'s mut String) -> Result<Reading<'s>, Problem> {
    let (numeral, text) = match input.token(scratch)? {
        Token::Number(text) => (Numeral::parse(text), text),
        // With a unit, a string of digits is a number too.
        Token::Text(text) => (unit.and_then(|_| Numeral::parse(text)), text),
        other => return Err(Problem::wrong_type(other.kind())),
    };
    let Some(numeral) = numeral else { return Ok(Reading::Text(text)) };
    let scale = match unit {
        Some(TimeUnit::Seconds) => 6,
        Some(TimeUnit::Milliseconds) => 3,
        Some(TimeUnit::Microseconds) => 0,
        Some(TimeUnit::Nanoseconds) => -3,
        None => {
            let found = "a number without a unit: add unit = \"ms\" (or s, us, ns) to its line in [source.columns]";
            return Err(Problem::new("missing-unit", found));
        }
    };
    let micros = numeral.floor_scaled(scale).and_then(|micros| i64::try_from(micros).ok());
    micros.map(Reading::Micros).ok_or_else(Problem::out_of_range)
}

/// Days since 1970: `2026-11-21`, or the UTC date of an instant given as a number.
pub(super) struct Date {
    pub unit: Option<TimeUnit>,
}

impl Parse for Date {
    type Arrow = Date32Type;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<i32, Problem> {
        let days = match read(input, self.unit, scratch)? {
            Reading::Micros(micros) => micros.div_euclid(DAY),
            Reading::Text(text) => {
                let mut cursor = Cursor(text.as_bytes());
                cursor
                    .date()
                    .filter(|_| cursor.is_at_end())
                    .ok_or_else(|| Problem::new("invalid-date", "a string that is no date (2026-11-21)"))?
            }
        };
        i32::try_from(days).map_err(|_| Problem::out_of_range())
    }
}

/// Microseconds since midnight: `13:45[:30[.25]]`, or a number of them by unit.
pub(super) struct TimeOfDay {
    pub unit: Option<TimeUnit>,
}

impl Parse for TimeOfDay {
    type Arrow = Time64MicrosecondType;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<i64, Problem> {
        match read(input, self.unit, scratch)? {
            Reading::Micros(micros) if (0..DAY).contains(&micros) => Ok(micros),
            Reading::Micros(_) => Err(Problem::out_of_range()),
            Reading::Text(text) => {
                let mut cursor = Cursor(text.as_bytes());
                cursor
                    .time()
                    .filter(|micros| *micros < DAY && cursor.is_at_end())
                    .ok_or_else(|| Problem::new("invalid-time", "a string that is no time of day (13:45:30)"))
            }
        }
    }
}

/// Microseconds since 1970, in UTC.
pub(super) struct Instant {
    pub unit: Option<TimeUnit>,
    /// The zone of texts without one.
    pub zone: Zone,
}

impl Parse for Instant {
    type Arrow = TimestampMicrosecondType;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<i64, Problem> {
        let text = match read(input, self.unit, scratch)? {
            Reading::Micros(micros) => return Ok(micros),
            Reading::Text(text) => text,
        };
        let moment = moment(text.as_bytes()).ok_or_else(|| {
            Problem::new("invalid-timestamp", "a string that is no date and time (2026-11-21T13:45:30Z)")
        })?;
        let local = moment.days.checked_mul(DAY).and_then(|midnight| midnight.checked_add(moment.micros));
        let local = local.ok_or_else(Problem::out_of_range)?;
        match moment.offset {
            Some(offset) => local.checked_sub(offset * SECOND).ok_or_else(Problem::out_of_range),
            None => self.zone.instant(local),
        }
    }
}

/// What a date and time says.
#[derive(Debug, PartialEq, Eq)]
struct Moment {
    /// Since 1970.
    days: i64,
    /// Since midnight.
    micros: i64,
    /// Seconds east of UTC, where it is given.
    offset: Option<i64>,
}

/// `date [(T|space) time [zone]]`; a date alone is its midnight.
fn moment(text: &[u8]) -> Option<Moment> {
    let mut cursor = Cursor(text);
    let days = cursor.date()?;
    if cursor.is_at_end() {
        return Some(Moment { days, micros: 0, offset: None });
    }
    if !cursor.eat(b'T') && !cursor.eat(b' ') && !cursor.eat(b't') {
        return None;
    }
    let micros = cursor.time()?;
    let offset = cursor.offset()?;
    cursor.is_at_end().then_some(Moment { days, micros, offset })
}

/// The text that is left to read. A method that gives `None` has found something else than it reads.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0 {
            [first, rest @ ..] if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn two_digits(&mut self) -> Option<i64> {
        match self.0 {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
                self.0 = rest;
                Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
            }
            _ => None,
        }
    }

    /// Four digits, or a sign and four to six.
    fn year(&mut self) -> Option<i64> {
        let (negative, signed) = match self.0.first()? {
            b'-' => (true, true),
            b'+' => (false, true),
            _ => (false, false),
        };
        if !signed {
            return Some(self.two_digits()? * 100 + self.two_digits()?);
        }
        let digits = self.0[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(4..=6).contains(&digits) {
            return None;
        }
        let (year, rest) = self.0[1..].split_at(digits);
        self.0 = rest;
        let year = year.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        Some(if negative { -year } else { year })
    }

    /// Days since 1970 in the proleptic Gregorian calendar; the year 0 is 1 BC, as ISO 8601 has it.
    fn date(&mut self) -> Option<i64> {
        let year = self.year()?;
        let month = self.eat(b'-').then(|| self.two_digits())??;
        let day = self.eat(b'-').then(|| self.two_digits())??;
        let is_valid = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        is_valid.then(|| days_since_epoch(year, month, day))
    }

    /// Microseconds since midnight, up to those of 24:00.
    fn time(&mut self) -> Option<i64> {
        let hour = self.two_digits()?;
        let minute = self.eat(b':').then(|| self.two_digits())??;
        let (mut second, mut fraction) = (0, 0);
        if self.eat(b':') {
            second = self.two_digits()?;
            if self.eat(b'.') || self.eat(b',') {
                fraction = self.fraction()?;
            }
        }
        let is_valid = hour <= 24 && minute <= 59 && second <= 60;
        let micros = (hour * 3600 + minute * 60 + second) * SECOND + fraction;
        (is_valid && (micros <= DAY || (hour, minute, second) == (23, 59, 60))).then_some(micros)
    }

    /// The digits of a second's fraction, in microseconds; further ones are cut.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        let micros =
            (0..6).fold(0, |sum, index| sum * 10 + fraction.get(index).map_or(0, |digit| i64::from(digit - b'0')));
        (digits > 0).then_some(micros)
    }

    /// `Z` or `[ ](+|-)hh[[:]mm[[:]ss]]` and, after either, a zone's name in brackets, which says nothing more.
    /// `Some(None)`: nothing is there.
    fn offset(&mut self) -> Option<Option<i64>> {
        if self.is_at_end() {
            return Some(None);
        }
        let offset = if self.eat(b'Z') || self.eat(b'z') { 0 } else { self.numeric_offset()? };
        if let [b'[', name @ .., b']'] = self.0
            && !name.is_empty()
        {
            self.0 = &[];
        }
        Some(Some(offset))
    }

    fn numeric_offset(&mut self) -> Option<i64> {
        self.eat(b' ');
        let sign = if self.eat(b'+') {
            1
        } else if self.eat(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.two_digits()?;
        let (mut minutes, mut seconds) = (0, 0);
        if self.eat(b':') || self.0.first().is_some_and(u8::is_ascii_digit) {
            minutes = self.two_digits()?;
            if self.eat(b':') || self.0.first().is_some_and(u8::is_ascii_digit) {
                seconds = self.two_digits()?;
            }
        }
        let is_valid = hours <= 23 && minutes <= 59 && seconds <= 59;
        is_valid.then_some(sign * (hours * 3600 + minutes * 60 + seconds))
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts in 400-year eras whose years begin in March, so that the leap day is a year's last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    // 146,097 days an era; 719,468 days from 0000-03-01 to 1970-01-01.
    era * 146_097 + day_of_era - 719_468
}
