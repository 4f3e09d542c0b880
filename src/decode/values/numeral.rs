//! A decimal numeral taken apart, exact and without an expansion of its exponent.

/// The value 0.d1d2..dn * 10^point, where d1 and dn are not 0; no digits at all are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numeral<'a> {
    negative: bool,
    /// The digits, in two parts: those written before the point and those after it.
    digits: (&'a [u8], &'a [u8]),
    /// How many digits stand before the decimal point; below 0, how many zeros stand between it and d1.
    point: i64,
}

/// Exponents beyond it are all the same: out of every range. It keeps the arithmetic far from its own limits.
const HUGE: i64 = 1 << 48;

impl<'a> Numeral<'a> {
    /// Reads `[+-] digits [. digits] [e [+-] digits]` with a digit on one side of the point at least. `None`: it is
    /// no numeral.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (negative, rest) = sign(text.as_bytes());
        let (whole, rest) = take_digits(rest);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => take_digits(rest),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Self::normalised(negative, whole, fraction, exponent))
    }

    fn normalised(negative: bool, whole: &'a [u8], fraction: &'a [u8], exponent: i64) -> Self {
        let mut whole = without_leading_zeros(whole);
        let mut fraction = without_trailing_zeros(fraction);
        let mut point = whole.len() as i64;
        if whole.is_empty() {
            let significant = without_leading_zeros(fraction);
            point = significant.len() as i64 - fraction.len() as i64;
            fraction = significant;
        } else if fraction.is_empty() {
            whole = without_trailing_zeros(whole);
        }
        Self { negative, digits: (whole, fraction), point: point + exponent }
    }

    pub fn is_negative(&self) -> bool {
        self.negative && !self.is_zero()
    }

    pub fn is_zero(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> i64 {
        (self.digits.0.len() + self.digits.1.len()) as i64
    }

    /// The significant digits, as ASCII.
    pub fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.0.iter().chain(self.digits.1).copied()
    }

    /// How many digits before the point it needs.
    pub fn whole_digits(&self) -> i64 {
        if self.is_zero() { 0 } else { self.point }
    }

    /// How many digits after the point it needs; at most 0: none.
    pub fn fraction_digits(&self) -> i64 {
        if self.is_zero() { 0 } else { self.len() - self.point }
    }

    /// The value times 10^`scale`. The caller has checked that this is an integer of at most 38 digits.
    pub fn scaled(&self, scale: i64) -> i128 {
        let magnitude = self.digits().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let zeros = scale - self.fraction_digits();
        let magnitude = if magnitude == 0 { 0 } else { magnitude * 10i128.pow(zeros as u32) };
        if self.negative { -magnitude } else { magnitude }
    }

    /// The value times 10^`scale`, rounded down. `None`: more than 38 digits.
    pub fn floor_scaled(&self, scale: i64) -> Option<i128> {
        if self.is_zero() {
            return Some(0);
        }
        let kept = (self.point + scale).max(0);
        if kept > 38 {
            return None;
        }
        let (digits, zeros) = (kept.min(self.len()), (kept - self.len()).max(0));
        let magnitude =
            self.digits().take(digits as usize).fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let magnitude = magnitude * 10i128.pow(zeros as u32);
        let cut = kept < self.len();
        Some(if self.negative { -magnitude - i128::from(cut) } else { magnitude })
    }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn take_digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(HUGE));
    Some(if negative { -magnitude } else { magnitude })
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..]
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    &digits[..digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_numeral() {
        for text in ["", "-", "+", ".", "e5", "1e", "1e+", "1.2.3", "0x10", " 1", "1 ", "1_000", "NaN", "१"] {
            assert_eq!(Numeral::parse(text), None, "{text:?}");
        }
        for text in ["0", "-0", "007", "+7", ".5", "5.", "1E5", "1e-99999999999999999999999"] {
            assert!(Numeral::parse(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn zero_is_zero_whatever_its_exponent() {
        for text in ["0", "-0", "0.000", "0e999999999999999999999", "-0.0e-7"] {
            let numeral = Numeral::parse(text).unwrap();
            assert!(numeral.is_zero() && !numeral.is_negative(), "{text}");
            assert_eq!((numeral.whole_digits(), numeral.fraction_digits()), (0, 0), "{text}");
            assert_eq!((numeral.scaled(4), numeral.floor_scaled(6)), (0, Some(0)), "{text}");
        }
    }

    #[test]
    fn digits_are_counted_after_the_exponent() {
        let counts = |text| {
            let numeral = Numeral::parse(text).unwrap();
            (numeral.whole_digits(), numeral.fraction_digits())
        };
        assert_eq!(counts("120.50"), (3, 1));
        assert_eq!(counts("1.5e3"), (4, -2));
        assert_eq!(counts("15000e-2"), (3, -1));
        assert_eq!(counts("0.0012"), (-2, 4));
    }

    proptest! {
        #[test]
        fn scaling_is_exact(value in -10i128.pow(30)..10i128.pow(30), scale in 0usize..8, shift in 0i64..8) {
            // The digits of `value` with a point before the last `scale`, times 10^-shift by the exponent.
            let digits = format!("{:0width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}e-{shift}");
            let numeral = Numeral::parse(&text).unwrap();
            prop_assert_eq!(numeral.scaled(scale as i64 + shift), value);
            let cut = numeral.floor_scaled(scale as i64).unwrap();
            prop_assert_eq!(cut, value.div_euclid(10i128.pow(shift as u32)));
        }
    }
}
