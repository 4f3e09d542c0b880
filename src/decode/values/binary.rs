//! Bytes and UUIDs.

use std::sync::Arc;

use arrow_array::types::BinaryType;
use arrow_array::{ArrayRef, FixedSizeBinaryArray};
use arrow_buffer::{Buffer, NullBuffer};
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::decode::builders::{Cells, Write, renew};
use crate::decode::problem::Problem;
use crate::decode::token::{Input, Token};
use crate::rows::BytesEncoding;

const PADDING_OPTIONAL: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PADDING_OPTIONAL);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, PADDING_OPTIONAL);

/// Bytes from a string: base64 (the standard or the URL-safe alphabet, padding optional) or hex, `0x` or `\x` before
/// it allowed. A key with `key_format = "bytes"` is taken as it is.
pub(super) struct Binary {
    pub encoding: BytesEncoding,
}

impl Write for Binary {
    type Arrow = BinaryType;

    fn write(&self, input: Input<'_>, scratch: &mut String, out: &mut Vec<u8>) -> Result<(), Problem> {
        if let Input::Bytes(bytes) = input {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        match (input.token(scratch)?, self.encoding) {
            (Token::Text(text), BytesEncoding::Base64) => write_base64(text, out),
            (Token::Text(text), BytesEncoding::Hex) => write_hex(text, out),
            (other, _) => Err(Problem::wrong_type(other.kind())),
        }
    }
}

fn write_base64(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    let engine = if text.contains(['-', '_']) { BASE64_URL } else { BASE64 };
    engine.decode_vec(text, out).map_err(|_| Problem::new("invalid-base64", "a string that is not base64"))
}

fn write_hex(text: &str, out: &mut Vec<u8>) -> Result<(), Problem> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("\\x")).unwrap_or(text);
    let start = out.len();
    out.resize(start + digits.len() / 2, 0);
    hex::decode_to_slice(digits, &mut out[start..])
        .map_err(|_| Problem::new("invalid-hex", "a string that is not hexadecimal"))
}

/// 16 bytes each, from the hyphenated form or 32 hexadecimal digits.
#[derive(Default)]
pub(super) struct Uuids(Vec<u8>);

impl Cells for Uuids {
    fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem> {
        match input.token(scratch)? {
            Token::Text(text) => {
                let uuid =
                    uuid(text.as_bytes()).ok_or_else(|| Problem::new("invalid-uuid", "a string that is no UUID"))?;
                self.0.extend_from_slice(&uuid);
                Ok(())
            }
            other => Err(Problem::wrong_type(other.kind())),
        }
    }

    fn put_null(&mut self) {
        self.0.extend_from_slice(&[0; 16]);
    }

    fn truncate(&mut self, len: usize) {
        self.0.truncate(len * 16);
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let bytes = Buffer::from_vec(renew(&mut self.0));
        let array = FixedSizeBinaryArray::try_new(16, bytes, nulls);
        Arc::new(array.expect("16 bytes a cell"))
    }
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let mut digits = [0; 32];
    match text.len() {
        32 => digits.copy_from_slice(text),
        36 => {
            let mut end = 0;
            for (index, byte) in text.iter().enumerate() {
                match index {
                    8 | 13 | 18 | 23 if *byte == b'-' => {}
                    8 | 13 | 18 | 23 => return None,
                    _ => {
                        digits[end] = *byte;
                        end += 1;
                    }
                }
            }
        }
        _ => return None,
    }
    let mut uuid = [0; 16];
    hex::decode_to_slice(digits, &mut uuid).ok()?;
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str, encoding: BytesEncoding) -> Result<Vec<u8>, &'static str> {
        let mut out = Vec::new();
        let write = Binary { encoding }.write(Input::Plain(text), &mut String::new(), &mut out);
        write.map(|()| out).map_err(|problem| problem.class)
    }

    #[test]
    fn uuids_have_two_forms() {
        let expected = Some(*b"\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\x00");
        assert_eq!(uuid(b"123e4567-e89b-12d3-a456-426614174000"), expected);
        assert_eq!(uuid(b"123E4567E89B12D3A456426614174000"), expected);
        for text in ["123e4567-e89b-12d3-a456-42661417400", "123e4567e-89b-12d3-a456-426614174000", "{123e}", ""] {
            assert_eq!(uuid(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_the_encoding_is_a_fault() {
        assert_eq!(bytes("a b=", BytesEncoding::Base64), Err("invalid-base64"));
        assert_eq!(bytes("+_==", BytesEncoding::Base64), Err("invalid-base64"), "two alphabets at once");
        assert_eq!(bytes("abc", BytesEncoding::Hex), Err("invalid-hex"));
        assert_eq!(bytes("zz", BytesEncoding::Hex), Err("invalid-hex"));
        assert_eq!(bytes("\\xfF", BytesEncoding::Hex), Ok(vec![255]));
    }

    proptest! {
        #[test]
        fn every_spelling_gives_the_bytes(data: Vec<u8>) {
            use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
            for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                prop_assert_eq!(bytes(&engine.encode(&data), BytesEncoding::Base64), Ok(data.clone()));
            }
            prop_assert_eq!(bytes(&hex::encode(&data), BytesEncoding::Hex), Ok(data.clone()));
            prop_assert_eq!(bytes(&format!("0x{}", hex::encode_upper(&data)), BytesEncoding::Hex), Ok(data));
        }
    }
}
