//! Cells -> Arrow arrays. Arrow's own builders cannot take a row back, and a record that fails half way must leave no
//! trace; so the buffers are plain vectors, which become Arrow's buffers without a copy.

use std::sync::Arc;

use arrow_array::types::ByteArrayType;
use arrow_array::{ArrayRef, ArrowPrimitiveType, GenericByteArray, PrimitiveArray, RecordBatch, RecordBatchOptions};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use crate::dead_letter::{Fault, Stage};
use crate::rows::{ColumnSource, InputSchema, TimeUnit};
use crate::types::ColumnType;

use super::problem::Problem;
use super::token::Input;
use super::values;

/// The cells of one column, without their nulls. A failed `put` may leave a part of a cell behind until `truncate`.
pub(super) trait Cells: Send {
    fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem>;

    /// A cell whose content does not matter.
    fn put_null(&mut self);

    /// Keeps the first `len` cells.
    fn truncate(&mut self, len: usize);

    /// The cells as an array; the next batch gets buffers of the same size at once.
    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef;
}

/// Reads a value of fixed size.
pub(super) trait Parse: Send {
    type Arrow: ArrowPrimitiveType;

    fn parse(
        &self,
        input: Input<'_>,
        scratch: &mut String,
    ) -> Result<<Self::Arrow as ArrowPrimitiveType>::Native, Problem>;
}

pub(super) struct Fixed<P: Parse> {
    values: Vec<<P::Arrow as ArrowPrimitiveType>::Native>,
    parse: P,
    ty: DataType,
}

impl<P: Parse> Fixed<P> {
    pub fn new(parse: P, ty: DataType) -> Self {
        Self { values: Vec::new(), parse, ty }
    }
}

impl<P: Parse> Cells for Fixed<P> {
    fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem> {
        self.values.push(self.parse.parse(input, scratch)?);
        Ok(())
    }

    fn put_null(&mut self) {
        self.values.push(Default::default());
    }

    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let values = renew(&mut self.values);
        let array = PrimitiveArray::<P::Arrow>::new(ScalarBuffer::from(values), nulls);
        Arc::new(array.with_data_type(self.ty.clone()))
    }
}

/// Writes a value of any length.
pub(super) trait Write: Send {
    type Arrow: ByteArrayType<Offset = i32>;

    fn write(&self, input: Input<'_>, scratch: &mut String, out: &mut Vec<u8>) -> Result<(), Problem>;
}

pub(super) struct Variable<W: Write> {
    /// Where each cell ends in `data`.
    ends: Ends,
    data: Vec<u8>,
    write: W,
}

impl<W: Write> Variable<W> {
    pub fn new(write: W) -> Self {
        Self { ends: Ends::default(), data: Vec::new(), write }
    }
}

impl<W: Write> Cells for Variable<W> {
    fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem> {
        self.write.write(input, scratch, &mut self.data)?;
        self.ends.push(self.data.len())
    }

    fn put_null(&mut self) {
        self.ends.repeat();
    }

    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.data.truncate(self.ends.last());
    }

    fn take(&mut self, nulls: Option<NullBuffer>) -> ArrayRef {
        let data = Buffer::from_vec(renew(&mut self.data));
        let array = GenericByteArray::<W::Arrow>::try_new(self.ends.take(), data, nulls);
        Arc::new(array.expect("each cell was written whole, and text as UTF-8"))
    }
}

/// The ends of cells of different lengths: Arrow's offsets.
pub(super) struct Ends(Vec<i32>);

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    /// # Errors
    /// Arrow counts with 32 bits; a batch is bounded far below, but a fault is better than a panic.
    pub fn push(&mut self, end: usize) -> Result<(), Problem> {
        let end = i32::try_from(end)
            .map_err(|_| Problem::new("out-of-range", "more than 2 GiB for this column in one batch"))?;
        self.0.push(end);
        Ok(())
    }

    /// An empty cell.
    pub fn repeat(&mut self) {
        self.0.push(self.0.last().copied().unwrap_or_default());
    }

    pub fn last(&self) -> usize {
        self.0.last().copied().unwrap_or_default() as usize
    }

    /// Keeps the ends of the first `cells` cells.
    pub fn truncate(&mut self, cells: usize) {
        self.0.truncate(cells + 1);
    }

    pub fn take(&mut self) -> OffsetBuffer<i32> {
        let ends = renew(&mut self.0);
        self.0.push(0);
        OffsetBuffer::new(ScalarBuffer::from(ends))
    }
}

/// Takes a full buffer and leaves an empty one with as much room: an array owns its buffer, so it cannot be kept, but
/// the next batch need not grow it step by step.
pub(super) fn renew<T>(buffer: &mut Vec<T>) -> Vec<T> {
    let room = buffer.len();
    std::mem::replace(buffer, Vec::with_capacity(room))
}

/// The rows that are otherwise than most, in order. Costs nothing for those that are not.
#[derive(Default)]
struct Marks(Vec<u32>);

impl Marks {
    fn push(&mut self, row: usize) {
        // `Ends` and the size of a batch (below 4 GiB, a byte at least for each value) bound it.
        self.0.push(row as u32);
    }

    fn truncate(&mut self, len: usize) {
        while self.0.last().is_some_and(|row| *row as usize >= len) {
            self.0.pop();
        }
    }

    /// One bit per row, unset for the marked ones; `None` where none is marked.
    fn take(&mut self, len: usize) -> Option<BooleanBuffer> {
        if self.0.is_empty() {
            return None;
        }
        let mut bits = BooleanBufferBuilder::new(len);
        bits.append_n(len, true);
        self.0.drain(..).for_each(|row| bits.set_bit(row as usize, false));
        Some(bits.finish())
    }
}

/// Cells with their nulls.
pub(super) struct Nullable {
    cells: Box<dyn Cells>,
    nulls: Marks,
    len: usize,
}

impl Nullable {
    pub fn new(cells: Box<dyn Cells>) -> Self {
        Self { cells, nulls: Marks::default(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// JSON null is null in every type.
    pub fn put(&mut self, input: Input<'_>, scratch: &mut String) -> Result<(), Problem> {
        if input.is_null() {
            self.put_null();
            return Ok(());
        }
        self.cells.put(input, scratch)?;
        self.len += 1;
        Ok(())
    }

    pub fn put_null(&mut self) {
        self.cells.put_null();
        self.nulls.push(self.len);
        self.len += 1;
    }

    pub fn last_is_null(&self) -> bool {
        self.nulls.0.last().is_some_and(|row| *row as usize + 1 == self.len)
    }

    pub fn truncate(&mut self, len: usize) {
        self.cells.truncate(len);
        self.nulls.truncate(len);
        self.len = self.len.min(len);
    }

    pub fn take(&mut self) -> ArrayRef {
        let nulls = self.nulls.take(self.len).map(NullBuffer::new);
        self.len = 0;
        self.cells.take(nulls)
    }
}

struct Column {
    name: String,
    ty: ColumnType,
    values: Nullable,
    /// The rows that had no such field.
    absent: Marks,
}

impl Column {
    #[cold]
    fn fault(&self, Problem { class, found }: Problem) -> Fault {
        Fault {
            stage: Stage::Decode,
            class,
            code: String::new(),
            reason: format!("column {}: expected {}, found {found}", self.name, self.ty),
            column: Some(self.name.clone()),
        }
    }
}

/// All columns of the input: whole rows, and the cells of the row that is being filled.
pub(super) struct Columns {
    schema: Arc<InputSchema>,
    columns: Vec<Column>,
    rows: usize,
    scratch: String,
}

impl Columns {
    pub fn new(schema: Arc<InputSchema>) -> Self {
        let columns = schema.columns.iter().map(|column| {
            // A record's timestamp is in milliseconds, whatever else the column's line says.
            let is_timestamp = column.source == ColumnSource::Timestamp;
            let unit = if is_timestamp { Some(TimeUnit::Milliseconds) } else { column.unit };
            let cells = values::cells(&column.ty, unit, column.encoding, schema.timezone.as_deref());
            let values = Nullable::new(cells);
            Column { name: column.name.clone(), ty: column.ty.clone(), values, absent: Marks::default() }
        });
        Self { columns: columns.collect(), schema, rows: 0, scratch: String::new() }
    }

    /// Has the current row this cell already?
    pub fn is_filled(&self, column: usize) -> bool {
        self.columns[column].values.len() > self.rows
    }

    /// Is the current row's cell there and not null?
    pub fn has_value(&self, column: usize) -> bool {
        self.is_filled(column) && !self.columns[column].values.last_is_null()
    }

    /// Fills a cell of the current row, if it is not filled yet.
    pub fn put(&mut self, column: usize, input: Input<'_>) -> Result<(), Fault> {
        if self.is_filled(column) {
            return Ok(());
        }
        let column = &mut self.columns[column];
        column.values.put(input, &mut self.scratch).map_err(|problem| column.fault(problem))
    }

    /// A null that the record states.
    pub fn put_null(&mut self, column: usize) {
        if !self.is_filled(column) {
            self.columns[column].values.put_null();
        }
    }

    /// A fault of this column that is none of its type.
    #[cold]
    pub fn fault(&self, column: usize, class: &'static str, found: &str) -> Fault {
        self.columns[column].fault(Problem::new(class, found.to_owned()))
    }

    /// Ends the row; cells that were not filled are absent.
    pub fn commit(&mut self) {
        for column in &mut self.columns {
            if column.values.len() == self.rows {
                column.absent.push(self.rows);
                column.values.put_null();
            }
        }
        self.rows += 1;
    }

    /// Takes the current row back.
    pub fn roll_back(&mut self) {
        for column in &mut self.columns {
            column.values.truncate(self.rows);
        }
    }

    /// The whole rows, and per column which of them had the field.
    pub fn take(&mut self) -> (RecordBatch, Vec<Option<BooleanBuffer>>) {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.columns.iter_mut().map(|column| column.values.take()).collect();
        let presence = self.columns.iter_mut().map(|column| column.absent.take(rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.arrow.clone(), arrays, &options);
        (batch.expect("every column has the schema's type and a cell per row"), presence)
    }
}
