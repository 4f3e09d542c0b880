//! What hides values: masked texts, keyed hashes, encryption. A key's id is a text in the statement, so that a wrong one
//! is told when it is planned.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::config::nearest;
use crate::keys::{Closed, Key, Keys};

use super::{Own, column, is_text, no_such_form, row_error, strings};

/// What values of columns are bound to: what was hidden elsewhere, such as a dead letter's, is none of them.
const COLUMN: &[u8] = b"column";

/// What stands for a character.
const MASK: &str = "*";

pub fn functions(keys: &Keys) -> Vec<Arc<ScalarUDF>> {
    let keyed = |act: Act| {
        // Encrypting the same again gives another text: no constant.
        let volatility = if act == Act::Encrypt { Volatility::Volatile } else { Volatility::Immutable };
        let signature = Signature::user_defined(volatility);
        Arc::new(ScalarUDF::from(Keyed { act, keys: keys.clone(), signature }))
    };
    vec![
        Own::udf("mask", text_and_shown, |_| Ok(text_field()), mask),
        keyed(Act::Hash),
        keyed(Act::Encrypt),
        keyed(Act::EncryptDeterministic),
        keyed(Act::Decrypt),
    ]
}

fn text_field() -> Field {
    Field::new("text", DataType::Utf8, true)
}

/// Has it one form as text that nobody has to think about?
fn is_plain(ty: &DataType) -> bool {
    is_text(ty) || ty.is_integer()
}

fn is_bytes(ty: &DataType) -> bool {
    matches!(ty, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

fn text_and_shown(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [text] if is_plain(text) => Ok(vec![DataType::Utf8]),
        [text, shown] if is_plain(text) && (shown.is_integer() || shown.is_null()) => {
            Ok(vec![DataType::Utf8, DataType::Int64])
        }
        _ => no_such_form(
            "mask takes a text and how many characters at its end stay",
            "write mask(x) or mask(CAST(x AS text), 4)",
        ),
    }
}

/// All characters but the last ones; a text that has no more than these is masked as a whole.
fn mask(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let columns = args.iter().map(|arg| column(arg, rows)).collect::<Result<Vec<_>>>()?;
    let texts = strings(&columns[0])?;
    let shown = columns.get(1).map(|shown| shown.as_primitive::<Int64Type>());
    let mut out = StringBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        if texts.is_null(row) || shown.is_some_and(|shown| shown.is_null(row)) {
            out.append_null();
            continue;
        }
        let text = texts.value(row);
        let shown = shown.map_or(0, |shown| usize::try_from(shown.value(row)).unwrap_or(0));
        let length = text.chars().count();
        let hidden = if shown < length { length - shown } else { length };
        let end = text.char_indices().nth(hidden).map_or("", |(start, _)| &text[start..]);
        out.append_value(MASK.repeat(hidden) + end);
    }
    Ok(Arc::new(out.finish()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Hash,
    Encrypt,
    EncryptDeterministic,
    Decrypt,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Encrypt => "encrypt",
            Self::EncryptDeterministic => "encrypt_deterministic",
            Self::Decrypt => "decrypt",
        }
    }
}

/// A function that needs a key.
#[derive(Debug)]
struct Keyed {
    act: Act,
    keys: Keys,
    signature: Signature,
}

// The name tells them apart: `Catalog` holds one function of a name.
impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.act == other.act
    }
}

impl Eq for Keyed {}

impl std::hash::Hash for Keyed {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.act.hash(state);
    }
}

impl Keyed {
    /// The key that the statement names.
    fn key(&self, id: Option<&ScalarValue>) -> Result<&Key> {
        let name = self.act.name();
        let Some(Some(Some(id))) = id.map(ScalarValue::try_as_str) else {
            return no_such_form(
                &format!("{name} is told its key by the key's id, as a text"),
                &format!("write {name}(x, 'k1')"),
            );
        };
        if let Some(key) = self.keys.get(id) {
            return Ok(key);
        }
        let cure = match nearest(id, self.keys.ids()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if self.keys.ids().next().is_none() => {
                format!("declare it: [keys.{id}] with value = \"${{file:/run/secrets/{id}}}\"")
            }
            None => format!("[keys] has {}", self.keys.ids().collect::<Vec<_>>().join(", ")),
        };
        no_such_form(&format!("there is no key {id}"), &cure)
    }

    fn run(&self, args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
        let values = column(&args[0], rows)?;
        if self.act == Act::Decrypt {
            return self.decrypted(&values);
        }
        let id = match &args[1] {
            ColumnarValue::Scalar(id) => Some(id),
            ColumnarValue::Array(_) => None,
        };
        let key = self.key(id)?;
        match self.act {
            Act::Hash => {
                let hasher = key.hasher();
                each(&values, |value| hasher.hash(value))
            }
            Act::Encrypt => {
                let sealer = key.sealer();
                each(&values, |value| sealer.seal(value, COLUMN))
            }
            Act::EncryptDeterministic | Act::Decrypt => {
                let sealer = key.deterministic_sealer();
                each(&values, |value| sealer.seal(value, COLUMN))
            }
        }
    }

    fn decrypted(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let mut opener = self.keys.opener();
        let texts = strings(values)?;
        let mut out = StringBuilder::with_capacity(texts.len(), texts.len() * 8);
        for text in texts {
            let Some(text) = text else {
                out.append_null();
                continue;
            };
            let value = opener.open(text, COLUMN).map_err(|closed| row_error("decrypt", sentence(&closed)))?;
            match String::from_utf8(value) {
                Ok(value) => out.append_value(value),
                Err(_) => return Err(row_error("decrypt", "what was decrypted is no text")),
            }
        }
        Ok(Arc::new(out.finish()))
    }
}

/// One text per value of a text or bytes column.
fn each(values: &ArrayRef, hide: impl Fn(&[u8]) -> String) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 64);
    let bytes = |row: usize| match values.data_type() {
        DataType::Binary => Ok(values.as_binary::<i32>().value(row)),
        _ => strings(values).map(|texts| texts.value(row).as_bytes()),
    };
    for row in 0..values.len() {
        match values.is_null(row) {
            true => out.append_null(),
            false => out.append_value(hide(bytes(row)?)),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn sentence(closed: &Closed) -> &'static str {
    match closed {
        Closed::Malformed => "the text is none that encrypt made",
        Closed::UnknownKey(_) => "it was encrypted with a key that [keys] does not have",
        Closed::Refused => "it was changed, or encrypted with another key of the same id",
    }
}

impl ScalarUDFImpl for Keyed {
    fn name(&self) -> &str {
        self.act.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if self.act != Act::Decrypt {
            self.key(args.scalar_arguments.get(1).copied().flatten())?;
        }
        Ok(Arc::new(text_field()))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.act, types) {
            (Act::Decrypt, [text]) if is_text(text) => Ok(vec![DataType::Utf8]),
            (Act::Decrypt, _) => {
                no_such_form("decrypt takes the text that encrypt gave, which names its key", "write decrypt(x)")
            }
            (_, [value, id]) if is_plain(value) && is_text(id) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            (Act::Hash, [value, id]) if is_bytes(value) && is_text(id) => Ok(vec![DataType::Binary, DataType::Utf8]),
            (Act::Encrypt | Act::EncryptDeterministic, [value, id]) if is_bytes(value) && is_text(id) => {
                let name = self.act.name();
                no_such_form(&format!("{name} takes texts"), &format!("write {name}(encode(x, 'base64'), 'k1')"))
            }
            (act, _) => {
                let name = act.name();
                no_such_form(
                    &format!("{name} takes a text or an integer, and a key's id"),
                    &format!("write {name}(CAST(x AS text), 'k1')"),
                )
            }
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        // Equal texts of `encrypt` would show equal values.
        let once = is_constant && self.act != Act::Encrypt;
        let result = self.run(&args.args, if once { 1 } else { args.number_rows })?;
        match once {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}
