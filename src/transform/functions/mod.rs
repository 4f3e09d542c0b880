//! Functions beside the engine's, and instead of those that do not keep our promises.
//!
//! ```text
//! json.rs    documents kept as they are written: a number's digits never change
//! times.rs   windows in microseconds, for all times that a column holds; time zones
//! lists.rs   what UNNEST takes
//! texts.rs   padding and repetition, bounded
//! private.rs masks, keyed hashes, encryption
//! ```

mod json;
mod lists;
mod private;
mod texts;
mod times;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, FixedSizeBinaryArray, StringArray};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::keys::Keys;

/// A row that a function has no answer for. The sentence holds no value of the row.
#[derive(Debug, Clone, Copy)]
pub struct RowError {
    pub class: &'static str,
    pub what: &'static str,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for RowError {}

fn row_error(class: &'static str, what: &'static str) -> DataFusionError {
    DataFusionError::External(Box::new(RowError { class, what }))
}

/// A call that cannot be, told when it is planned; the engine's own words are replaced by what `typed` finds.
fn no_such_form<T>(message: &str, cure: &str) -> Result<T> {
    Err(DataFusionError::Plan(format!("{message}\t{cure}")))
}

/// One function.
struct Own {
    name: &'static str,
    /// The types to which the arguments are cast, or a refusal.
    coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The result's type, with its kind.
    returns: fn(&ReturnFieldArgs) -> Result<Field>,
    run: fn(&[ColumnarValue], usize) -> Result<ArrayRef>,
    signature: Signature,
}

impl Own {
    fn udf(
        name: &'static str,
        coerce: fn(&[DataType]) -> Result<Vec<DataType>>,
        returns: fn(&ReturnFieldArgs) -> Result<Field>,
        run: fn(&[ColumnarValue], usize) -> Result<ArrayRef>,
    ) -> Arc<ScalarUDF> {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::from(Self { name, coerce, returns, run, signature }))
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

// The name tells them apart: `Catalog` holds one function of a name.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Own {}

impl Hash for Own {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal(format!("{} tells its result's field", self.name)))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        (self.returns)(&args).map(Arc::new)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        (self.coerce)(arg_types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        // What is the same for all rows is computed once.
        let rows = if is_constant { 1 } else { args.number_rows };
        let result = (self.run)(&args.args, rows)?;
        match is_constant {
            true => Ok(ColumnarValue::Scalar(datafusion_common::ScalarValue::try_from_array(&result, 0)?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}

/// An argument as a column.
fn column(arg: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    arg.clone().into_array(rows)
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

fn strings(array: &ArrayRef) -> Result<&StringArray> {
    let texts = array.as_any().downcast_ref();
    texts.ok_or_else(|| DataFusionError::Internal("a text was expected".to_owned()))
}

/// All functions of ours.
pub fn all(keys: &Keys) -> Vec<Arc<ScalarUDF>> {
    let mut all =
        vec![Own::udf("uuid_text", one_uuid, |_| Ok(Field::new("uuid_text", DataType::Utf8, true)), uuid_text)];
    all.extend(json::functions());
    all.extend(times::functions());
    all.extend(lists::functions());
    all.extend(texts::functions());
    all.extend(private::functions(keys));
    all
}

fn one_uuid(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::FixedSizeBinary(16)] => Ok(types.to_vec()),
        _ => no_such_form("uuid_text takes a uuid", "write uuid_text(id)"),
    }
}

/// A UUID in an expression is its text.
fn uuid_text(args: &[ColumnarValue], rows: usize) -> Result<ArrayRef> {
    let array = column(&args[0], rows)?;
    let uuids = array.as_any().downcast_ref::<FixedSizeBinaryArray>();
    let uuids = uuids.ok_or_else(|| DataFusionError::Internal("a uuid was expected".to_owned()))?;
    Ok(Arc::new(uuids_as_texts(uuids)))
}

/// In the form with hyphens.
pub fn uuids_as_texts(uuids: &FixedSizeBinaryArray) -> StringArray {
    let texts = uuids.iter().map(|uuid| {
        let digits = hex::encode(uuid?);
        Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
    });
    texts.collect()
}
