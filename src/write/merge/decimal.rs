//! Decimals of any size, exact.

use num_bigint::BigInt;

/// `digits / 10^scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exact {
    digits: BigInt,
    scale: usize,
}

impl Exact {
    /// From `-12.50`: what the decoder and the databases write. `None`: no such number (NaN, an exponent ..).
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits, scale: fraction.len() })
    }

    pub fn zero() -> Self {
        Self { digits: BigInt::ZERO, scale: 0 }
    }

    pub fn plus(self, other: Self) -> Self {
        let scale = self.scale.max(other.scale);
        let digits = self.scaled_digits(scale) + other.scaled_digits(scale);
        Self { digits, scale }
    }

    fn scaled_digits(&self, scale: usize) -> BigInt {
        &self.digits * BigInt::from(10).pow((scale - self.scale) as u32)
    }

    /// The number times `10^scale` as text; `None` where that is not whole.
    pub fn unscaled(&self, scale: usize) -> Option<String> {
        if scale >= self.scale {
            return Some(self.scaled_digits(scale).to_string());
        }
        let divisor = BigInt::from(10).pow((self.scale - scale) as u32);
        (&self.digits % &divisor == BigInt::ZERO).then(|| (&self.digits / divisor).to_string())
    }
}

/// In the one form that equal numbers share: no zeros that say nothing, no `-0`.
impl std::fmt::Display for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.digits.to_string();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text.as_str()),
        };
        let padded = format!("{digits:0>width$}", width = self.scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - self.scale);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}
