//! Exact decimals: from a number or a string in any notation, never rounded.

use arrow_array::types::{Decimal128Type, Decimal256Type, Utf8Type};
use arrow_buffer::i256;

use crate::decode::builders::{Parse, Write};
use crate::decode::problem::Problem;
use crate::decode::token::Input;

use super::numbers::numeral;
use super::numeral::Numeral;

pub(super) struct Decimal128 {
    pub precision: u32,
    pub scale: u32,
}

impl Parse for Decimal128 {
    type Arrow = Decimal128Type;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<i128, Problem> {
        if let Input::Json(text) = input
            && let Some(value) = short_decimal(text.as_bytes(), self.precision, self.scale)
        {
            return Ok(value);
        }
        let numeral = numeral(input.token(scratch)?)?;
        check(&numeral, self.precision, self.scale)?;
        Ok(numeral.scaled(i64::from(self.scale)))
    }
}

/// The plain form `[-]digits[.digits]` where 18 digits are enough.
fn short_decimal(text: &[u8], precision: u32, scale: u32) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // 19: 18 digits and a point.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let (mut value, mut point) = (0i64, None);
    for (index, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
            b'.' if point.is_none() && index > 0 => point = Some(index + 1),
            _ => return None,
        }
    }
    let written = digits.len() - point.unwrap_or(digits.len());
    let zeros = (scale as usize).checked_sub(written).filter(|zeros| *zeros <= 18)?;
    let value = i128::from(value) * 10i128.pow(zeros as u32);
    // Below 10^37, so that the limit itself can be computed.
    (value < 10i128.pow(precision)).then_some(if negative { -value } else { value })
}

pub(super) struct Decimal256 {
    pub precision: u32,
    pub scale: u32,
}

impl Parse for Decimal256 {
    type Arrow = Decimal256Type;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<i256, Problem> {
        let numeral = numeral(input.token(scratch)?)?;
        check(&numeral, self.precision, self.scale)?;
        let zeros = (i64::from(self.scale) - numeral.fraction_digits()) as usize;
        let zeros = if numeral.is_zero() { 0 } else { zeros };
        // 76 digits at most, which i256 holds.
        let ten = i256::from_i128(10);
        let digits = numeral.digits().chain(std::iter::repeat_n(b'0', zeros));
        let magnitude = digits.fold(i256::ZERO, |sum, digit| {
            sum.wrapping_mul(ten).wrapping_add(i256::from_i128(i128::from(digit - b'0')))
        });
        Ok(if numeral.is_negative() { magnitude.wrapping_neg() } else { magnitude })
    }
}

fn check(numeral: &Numeral<'_>, precision: u32, scale: u32) -> Result<(), Problem> {
    if numeral.fraction_digits() > i64::from(scale) {
        return Err(Problem::inexact());
    }
    if numeral.whole_digits() > i64::from(precision) - i64::from(scale) && !numeral.is_zero() {
        return Err(Problem::out_of_range());
    }
    Ok(())
}

/// What PostgreSQL's `numeric` holds.
const MAX_WHOLE_DIGITS: i64 = 131_072;
const MAX_FRACTION_DIGITS: i64 = 16_383;
/// Zeros that only an exponent stands for. Enough for every double (1e308, 5e-324); more would let a few bytes of
/// input become a hundred kilobytes.
const MAX_ADDED_ZEROS: i64 = 1_000;

/// A decimal as text in the one form that equal numbers share: no exponent, no zeros that say nothing, no `-0`.
pub(super) struct CanonicalText {
    /// Precision and scale; `None`: any size.
    pub limit: Option<(u32, u32)>,
}

impl Write for CanonicalText {
    type Arrow = Utf8Type;

    fn write(&self, input: Input<'_>, scratch: &mut String, out: &mut Vec<u8>) -> Result<(), Problem> {
        let numeral = numeral(input.token(scratch)?)?;
        if let Some((precision, scale)) = self.limit {
            check(&numeral, precision, scale)?;
        }
        let (whole, fraction) = (numeral.whole_digits(), numeral.fraction_digits());
        let is_bounded = whole <= MAX_WHOLE_DIGITS
            && fraction <= MAX_FRACTION_DIGITS
            // Zeros after the digits, and between the point and the digits.
            && -fraction <= MAX_ADDED_ZEROS.max(written_zeros(input))
            && -whole <= MAX_ADDED_ZEROS.max(written_zeros(input));
        if !is_bounded {
            return Err(Problem::out_of_range());
        }
        write_plain(&numeral, out);
        Ok(())
    }
}

/// An upper bound of the zeros that the text itself may hold: it cannot expand to more than it is.
fn written_zeros(input: Input<'_>) -> i64 {
    match input {
        Input::Json(text) | Input::Plain(text) => text.len() as i64,
        Input::Bytes(_) => 0,
    }
}

fn write_plain(numeral: &Numeral<'_>, out: &mut Vec<u8>) {
    if numeral.is_negative() {
        out.push(b'-');
    }
    let (whole, fraction) = (numeral.whole_digits(), numeral.fraction_digits());
    let mut digits = numeral.digits();
    if whole <= 0 {
        out.push(b'0');
    } else {
        out.extend(digits.by_ref().take(whole as usize));
        out.extend(std::iter::repeat_n(b'0', (-fraction).max(0) as usize));
    }
    if fraction > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', (-whole).max(0) as usize));
        out.extend(digits);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Result<String, &'static str> {
        let mut out = Vec::new();
        let write = CanonicalText { limit: None }.write(Input::Plain(text), &mut String::new(), &mut out);
        write.map(|()| String::from_utf8(out).unwrap()).map_err(|problem| problem.class)
    }

    fn decimal(text: &str, precision: u32, scale: u32) -> Result<i128, &'static str> {
        let short = Decimal128 { precision, scale }.parse(Input::Json(text), &mut String::new());
        let long = Decimal128 { precision, scale }.parse(Input::Plain(text), &mut String::new());
        assert_eq!(short, long, "both ways agree on {text}");
        let wide = Decimal256 { precision, scale }.parse(Input::Json(text), &mut String::new());
        assert_eq!(short.as_ref().ok().copied().map(i256::from_i128), wide.as_ref().ok().copied(), "{text}");
        short.map_err(|problem| problem.class)
    }

    #[test]
    fn decimals_fit_or_fault() {
        assert_eq!(decimal("9000.00", 12, 2), Ok(900_000));
        assert_eq!(decimal("-0.5", 12, 2), Ok(-50));
        assert_eq!(decimal("1e3", 12, 2), Ok(100_000));
        assert_eq!(decimal("1.2300", 12, 2), Ok(123), "only zeros are cut");
        assert_eq!(decimal("1.234", 12, 2), Err("inexact"));
        assert_eq!(decimal("1e-3", 12, 2), Err("inexact"));
        assert_eq!(decimal("9999999999.99", 12, 2), Ok(999_999_999_999));
        assert_eq!(decimal("10000000000", 12, 2), Err("out-of-range"));
        assert_eq!(decimal("1e1000000000", 12, 2), Err("out-of-range"));
        assert_eq!(decimal("99999999999999999999999999999999999999", 38, 0), Ok(10i128.pow(38) - 1));
        assert_eq!(decimal("100000000000000000000000000000000000000", 38, 0), Err("out-of-range"));
        assert_eq!(decimal("0", 38, 38), Ok(0));
        assert_eq!(decimal("1", 38, 38), Err("out-of-range"));
        assert_eq!(decimal("0.00", 2, 2), Ok(0));
        assert_eq!(decimal("1", 2, 2), Err("out-of-range"));
        assert_eq!(decimal("0.005", 2, 4), Ok(50), "a scale above the precision");
        assert_eq!(decimal("0.05", 2, 4), Err("out-of-range"));
    }

    #[test]
    fn seventy_six_digits_are_exact() {
        let text = "9".repeat(76);
        let value = Decimal256 { precision: 76, scale: 0 }.parse(Input::Json(&text), &mut String::new()).unwrap();
        assert_eq!(value.to_string(), text);
        let negative = format!("-{}.{}", "9".repeat(40), "1".repeat(36));
        let value = Decimal256 { precision: 76, scale: 36 }.parse(Input::Json(&negative), &mut String::new()).unwrap();
        assert_eq!(value.to_string(), negative.replace('.', ""));
    }

    #[test]
    fn equal_numbers_have_one_text() {
        for (text, expected) in [
            ("1.50", "1.5"),
            ("0001.5e0", "1.5"),
            ("15e-1", "1.5"),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("-1.5E-3", "-0.0015"),
            ("120", "120"),
            (".5", "0.5"),
            ("12345e-2", "123.45"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_exponent_cannot_blow_up_memory() {
        for text in ["1e1002", "1e-1002", "1e131072", "1e999999999999999999999999", "1e-16383"] {
            assert_eq!(canonical(text), Err("out-of-range"), "{text}");
        }
        assert_eq!(canonical("1e308").unwrap().len(), 309);
        assert_eq!(canonical("5e-324").unwrap().len(), 326);
        let written = "7".repeat(100_000);
        assert_eq!(canonical(&written), Ok(written.clone()));
        let zeros = format!("1{}", "0".repeat(100_000));
        assert_eq!(canonical(&zeros), Ok(zeros.clone()), "what is written out is not added");
        assert_eq!(canonical(&"7".repeat(131_073)), Err("out-of-range"));
        assert_eq!(canonical(&format!("0.{}", "7".repeat(16_384))), Err("out-of-range"));
    }

    proptest! {
        #[test]
        fn the_short_way_is_the_long_way(text in "-?[0-9]{1,20}(\\.[0-9]{1,6})?", precision in 1u32..39, scale in 0u32..12) {
            let _ = decimal(&text, precision, scale.min(precision));
        }
    }
}
