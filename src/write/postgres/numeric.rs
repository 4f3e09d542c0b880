//! PostgreSQL's binary `numeric`: base-10000 digits with the weight of the first one.
//!
//! ```text
//! ndigits i16 | weight i16 | sign u16 | dscale u16 | digits i16 ...      value = sum of digit[i] * 10000^(weight - i)
//! ```

use super::encode::Unwritable;

const NEGATIVE: u16 = 0x4000;
/// The most digits after the point that the format can state.
const MAX_SCALE: i64 = 16_383;
/// The most digits before the point that the server takes.
const MAX_INTEGER_DIGITS: i64 = 131_072;

const TOO_LARGE: Unwritable = Unwritable("the number has more digits than PostgreSQL's numeric can hold");
const NO_NUMBER: Unwritable = Unwritable("the text is not a decimal number");

/// Appends `unscaled / 10^scale`, without the length.
pub(super) fn write_i128(unscaled: i128, scale: u32, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    // Groups of four digits count from the point, so the fraction is filled up to a multiple of four.
    let padding = (4 - scale % 4) % 4;
    let aligned = 10_u128.pow(padding).checked_mul(unscaled.unsigned_abs());
    let Some(mut rest) = aligned else {
        return write_digits(unscaled < 0, unscaled.unsigned_abs().to_string().as_bytes(), scale, out);
    };
    // 39 digits at most: ten groups.
    let mut groups = [0_u16; 10];
    let mut count = 0;
    while rest > 0 {
        groups[count] = (rest % 10_000) as u16;
        rest /= 10_000;
        count += 1;
    }
    let fraction_groups = ((scale + padding) / 4) as usize;
    let zeros = groups[..count].iter().take_while(|&&group| group == 0).count();
    let weight = count as i16 - fraction_groups as i16 - 1;
    let digits = groups[zeros..count].iter().rev().copied();
    write(unscaled < 0, weight, scale as u16, digits, out);
    Ok(())
}

/// Appends `digits / 10^scale`, without the length; for numbers that no machine integer holds.
pub(super) fn write_digits(negative: bool, digits: &[u8], scale: u32, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    write_decimal(negative, digits, digits.len() as i64 - i64::from(scale), i64::from(scale), out)
}

/// Appends the number that `text` writes (`-12.50`, `1e-20`), without the length.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], parse_exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|&byte| byte == b'.').unwrap_or(mantissa.len());
    let mut digits = mantissa[..point].to_vec();
    digits.extend_from_slice(mantissa.get(point + 1..).unwrap_or_default());
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NO_NUMBER);
    }
    let scale = ((digits.len() - point) as i64 - exponent).max(0);
    write_decimal(negative, &digits, point as i64 + exponent, scale, out)
}

fn parse_exponent(text: &[u8]) -> Result<i64, Unwritable> {
    let text = std::str::from_utf8(text).map_err(|_| NO_NUMBER)?;
    // i32: the sum with any length of digits stays far from the end of i64.
    text.parse::<i32>().map(i64::from).map_err(|_| NO_NUMBER)
}

/// `digits` with the point before the digit at index `point`, which may lie outside of them.
fn write_decimal(negative: bool, digits: &[u8], point: i64, scale: i64, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let leading = digits.iter().take_while(|&&digit| digit == b'0').count();
    let trailing = digits[leading..].iter().rev().take_while(|&&digit| digit == b'0').count();
    let significant = &digits[leading..digits.len() - trailing];
    if scale > MAX_SCALE {
        return Err(TOO_LARGE);
    }
    if significant.is_empty() {
        write(false, 0, scale as u16, std::iter::empty(), out);
        return Ok(());
    }
    let point = point - leading as i64;
    if point > MAX_INTEGER_DIGITS {
        return Err(TOO_LARGE);
    }
    // The group of the first digit, and how many of the four places in it come before that digit.
    let weight = (point + 3).div_euclid(4) - 1;
    let skipped = ((weight + 1) * 4 - point) as usize;
    let count = (skipped + significant.len()).div_ceil(4);
    let group = |index: usize| {
        (index * 4..index * 4 + 4).fold(0_u16, |sum, place| {
            let digit = place.checked_sub(skipped).and_then(|at| significant.get(at)).map_or(0, |byte| byte - b'0');
            sum * 10 + u16::from(digit)
        })
    };
    write(negative, weight as i16, scale as u16, (0..count).map(group), out);
    Ok(())
}

fn write(negative: bool, weight: i16, scale: u16, digits: impl ExactSizeIterator<Item = u16>, out: &mut Vec<u8>) {
    let count = digits.len();
    let (weight, sign) = if count == 0 { (0, 0) } else { (weight, if negative { NEGATIVE } else { 0 }) };
    out.extend_from_slice(&(count as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for digit in digits {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(bytes: &[u8]) -> Vec<i16> {
        bytes.chunks(2).map(|word| i16::from_be_bytes([word[0], word[1]])).collect()
    }

    fn text(text: &str) -> Vec<i16> {
        let mut out = Vec::new();
        write_text(text, &mut out).unwrap();
        words(&out)
    }

    #[test]
    fn numbers_are_grouped_around_the_point() {
        let negative = NEGATIVE as i16;
        for (number, expected) in [
            ("0", vec![0, 0, 0, 0]),
            ("-0.00", vec![0, 0, 0, 2]),
            ("1", vec![1, 0, 0, 0, 1]),
            ("10000", vec![1, 1, 0, 0, 1]),
            ("-12.5", vec![2, 0, negative, 1, 12, 5000]),
            ("123456.789", vec![3, 1, 0, 3, 12, 3456, 7890]),
            ("0.00001", vec![1, -2, 0, 5, 1000]),
            ("1e-20", vec![1, -5, 0, 20, 1]),
            ("1.5E3", vec![1, 0, 0, 0, 1500]),
            ("000120.500", vec![2, 0, 0, 3, 120, 5000]),
        ] {
            assert_eq!(text(number), expected, "{number}");
        }
    }

    #[test]
    fn an_integer_with_a_scale_equals_its_text() {
        for (unscaled, scale, number) in [
            (0, 2, "0.00"),
            (1, 0, "1"),
            (-1, 20, "-0.00000000000000000001"),
            (123_456_789, 3, "123456.789"),
            (10_i128.pow(38) - 1, 38, "0.99999999999999999999999999999999999999"),
            (10_i128.pow(38) - 1, 37, "9.9999999999999999999999999999999999999"),
            (-(10_i128.pow(38) - 1), 0, "-99999999999999999999999999999999999999"),
            (10_i128.pow(37), 5, "100000000000000000000000000000000.00000"),
        ] {
            let mut out = Vec::new();
            write_i128(unscaled, scale, &mut out).unwrap();
            assert_eq!(words(&out), text(number), "{number}");
        }
    }

    #[test]
    fn what_no_numeric_can_hold_is_refused() {
        for number in ["", "-", ".", "1x", "NaN", "1e", "1e5000000000", "1e200000", "1e-20000", "--1"] {
            assert!(write_text(number, &mut Vec::new()).is_err(), "{number}");
        }
    }
}
