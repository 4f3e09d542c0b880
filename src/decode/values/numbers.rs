//! Booleans, integers and floating-point numbers.

use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{ArrayRef, ArrowPrimitiveType, BooleanArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};

use crate::decode::builders::{Cells, Parse, renew};
use crate::decode::problem::Problem;
use crate::decode::token::{Input, Token};

use super::numeral::Numeral;

/// JSON `true` and `false`, and the same words where the value is plain text. Nothing else: not 0 and 1, not "t".
#[derive(Default)]
pub(super) struct Bools(Vec<bool>);

impl Cells for Bools {
    fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem> {
        let value = match input {
            Input::Json("true") | Input::Plain("true") => true,
            Input::Json("false") | Input::Plain("false") => false,
            _ => return Err(Problem::wrong_type(input.token(scratch)?.kind())),
        };
        self.0.push(value);
        Ok(())
    }

    fn put_null(&mut self) {
        self.0.push(false);
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        Arc::new(BooleanArray::new(BooleanBuffer::from(renew(&mut self.0)), nulls))
    }
}

/// A number without a fraction in any notation (`7`, `1.0`, `1e3`), or a string that holds one.
pub(super) struct Integer<T>(PhantomData<fn() -> T>);

impl<T> Default for Integer<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: ArrowPrimitiveType + Send> Parse for Integer<T>
where
    T::Native: TryFrom<i64> + TryFrom<i128>,
{
    type Arrow = T;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<T::Native, Problem> {
        if let Input::Json(text) | Input::Plain(text) = input
            && let Some(value) = short_integer(text.as_bytes())
        {
            return T::Native::try_from(value).map_err(|_| Problem::out_of_range());
        }
        let value = integer(&numeral(input.token(scratch)?)?)?;
        T::Native::try_from(value).map_err(|_| Problem::out_of_range())
    }
}

/// The plain form, where it cannot overflow.
fn short_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

/// The numeral of a number, or of a string that holds one.
pub(super) fn numeral(token: Token<'_>) -> Result<Numeral<'_>, Problem> {
    match token {
        Token::Number(text) | Token::Text(text) => {
            Numeral::parse(text).ok_or(Problem::wrong_type("a string that is no number"))
        }
        other => Err(Problem::wrong_type(other.kind())),
    }
}

fn integer(numeral: &Numeral<'_>) -> Result<i128, Problem> {
    if numeral.fraction_digits() > 0 {
        return Err(Problem::inexact());
    }
    if numeral.whole_digits() > 38 {
        return Err(Problem::out_of_range());
    }
    Ok(numeral.scaled(0))
}

/// The two widths of floating-point numbers.
trait Real: FromStr + Copy {
    const NAN: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    fn is_finite(self) -> bool;
}

macro_rules! real {
    ($native:ty) => {
        impl Real for $native {
            const NAN: Self = <$native>::NAN;
            const INFINITY: Self = <$native>::INFINITY;
            const NEG_INFINITY: Self = <$native>::NEG_INFINITY;
            fn is_finite(self) -> bool {
                <$native>::is_finite(self)
            }
        }
    };
}
real!(f32);
real!(f64);

/// The nearest number of its width; beyond the width's range is a fault. A string may hold a number, `NaN`,
/// `Infinity` or `-Infinity`.
pub(super) struct Float<T>(PhantomData<fn() -> T>);

impl<T> Default for Float<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl Parse for Float<Float32Type> {
    type Arrow = Float32Type;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<f32, Problem> {
        float(input.token(scratch)?)
    }
}

impl Parse for Float<Float64Type> {
    type Arrow = Float64Type;

    fn parse(&self, input: Input<'_>, scratch: &mut String) -> Result<f64, Problem> {
        float(input.token(scratch)?)
    }
}

fn float<R: Real>(token: Token<'_>) -> Result<R, Problem> {
    let text = match token {
        Token::Number(text) => text,
        Token::Text("NaN") => return Ok(R::NAN),
        Token::Text("Infinity") => return Ok(R::INFINITY),
        Token::Text("-Infinity") => return Ok(R::NEG_INFINITY),
        // `str::parse` knows other words for these.
        Token::Text(text) if Numeral::parse(text).is_some() => text,
        Token::Text(_) => return Err(Problem::wrong_type("a string that is no number")),
        other => return Err(Problem::wrong_type(other.kind())),
    };
    match text.parse::<R>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(Problem::out_of_range()),
        Err(_) => Err(Problem::wrong_type("a text that is no number")),
    }
}
