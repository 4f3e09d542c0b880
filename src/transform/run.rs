//! One batch: WHERE, UNNEST, results. A batch that fails is halved until the records that it fails on are found.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, ListArray, RecordBatch, RecordBatchOptions, StringArray, UInt32Array,
    new_empty_array, new_null_array,
};
use arrow_buffer::BooleanBuffer;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat;
use arrow_select::filter::filter_record_batch;
use arrow_select::interleave::interleave;
use arrow_select::take::{take, take_record_batch};
use datafusion_common::{DataFusionError, Result};
use datafusion_physical_expr::PhysicalExpr;

use crate::dead_letter::Fault;
use crate::rows::{Operation, Rows};

use super::compile::{CompiledOutput, Transform};
use super::faults::{Failure, Place};
use super::{Filtered, Transformed};

/// The columns that are read, and the row of the decoded batch that each of its rows is.
struct Input<'a> {
    rows: &'a Rows,
    batch: RecordBatch,
    kept: Vec<u32>,
}

/// What a stretch of the input became.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub columns: Vec<ArrayRef>,
    /// The row of the decoded batch that each row comes from; never decreasing.
    pub picks: Vec<u32>,
    /// Indexes of rows that delete, or that stand for a parent whose rows are replaced; ascending.
    pub deletes: Vec<u32>,
    pub filtered: u64,
    pub ignored: u64,
}

/// Bad records with what is wrong with them.
pub(super) type Bad = Vec<(u32, Fault)>;

impl Transform {
    /// The batch after the statement.
    pub fn run(&self, rows: &Rows) -> Transformed {
        let mut bad = Bad::new();
        let input = self.input(rows);
        let mut pieces = Vec::new();
        self.collect(&input, 0..input.kept.len(), &mut pieces, &mut bad);
        let (filtered, ignored) = pieces
            .iter()
            .fold((0, 0), |(filtered, ignored), piece| (filtered + piece.filtered, ignored + piece.ignored));
        let mut piece = self.join(pieces);
        if self.grouped {
            piece = self.join(self.grouped(rows, &piece, &mut bad));
        }
        bad.sort_by_key(|(origin, _)| *origin);
        Transformed { rows: self.rows(rows, piece), bad, filtered, ignored }
    }

    fn input<'a>(&self, rows: &'a Rows) -> Input<'a> {
        let mut columns: Vec<ArrayRef> = self.scan.iter().map(|index| rows.batch.column(*index).clone()).collect();
        if self.has_operation {
            let names = rows.operations.iter().map(|operation| match operation {
                Operation::Upsert => "upsert",
                Operation::Delete | Operation::Replace => "delete",
            });
            columns.push(Arc::new(StringArray::from_iter_values(names)));
        }
        let mut batch = batch_of(&self.base, columns, rows.len()).expect("the decoder fills the schema's columns");
        let mut kept: Vec<u32> = (0..rows.len() as u32).collect();
        if let Some((column, topic)) = &self.topic {
            let topics = batch.column(*column).as_string::<i32>();
            let is_kept: Vec<bool> = topics.iter().map(|found| found == Some(topic)).collect();
            kept.retain(|row| is_kept[*row as usize]);
            batch = filter_record_batch(&batch, &BooleanArray::from(is_kept)).expect("one value per row");
        }
        Input { rows, batch, kept }
    }

    /// Halves what fails, between records: a record is bad as a whole.
    fn collect(&self, input: &Input, range: Range<usize>, pieces: &mut Vec<Piece>, bad: &mut Bad) {
        if range.is_empty() {
            return;
        }
        // A defect of the engine that a value brings to light costs the record, not the lane.
        let result = catch_unwind(AssertUnwindSafe(|| self.stretch(input, &range)));
        let failure = match result {
            Ok(Ok(piece)) => return pieces.push(piece),
            Ok(Err(failure)) => failure,
            Err(_) => Failure { place: Place::Statement, error: DataFusionError::Internal(String::new()) },
        };
        let origin = |row: usize| input.rows.origins[input.kept[row] as usize];
        match middle(&range, origin) {
            Some(middle) => {
                self.collect(input, range.start..middle, pieces, bad);
                self.collect(input, middle..range.end, pieces, bad);
            }
            None => bad.push((origin(range.start), failure.fault())),
        }
    }

    /// All steps over one stretch of the input.
    fn stretch(&self, input: &Input, range: &Range<usize>) -> Result<Piece, Failure> {
        let batch = input.batch.slice(range.start, range.len());
        let kept = &input.kept[range.clone()];
        let is_delete = |row: &u32| input.rows.operations[kept[*row as usize] as usize] == Operation::Delete;
        let all = 0..range.len() as u32;
        let mut deletes: Vec<u32> = all.clone().filter(is_delete).collect();
        let mut upserts = None;
        if !deletes.is_empty() {
            upserts = Some(all.filter(|row| !is_delete(row)).collect::<Vec<u32>>());
        }
        let (upsert_batch, mut upserts) = match upserts {
            Some(upserts) => (pick(&batch, &upserts)?, upserts),
            None => (batch.clone(), (0..range.len() as u32).collect()),
        };
        let mut ignored = 0;
        let are_useless = if self.replaces { !self.deletes } else { self.merges || !self.unnests.is_empty() };
        if are_useless {
            ignored = deletes.len() as u64;
            deletes.clear();
        }
        let mut passing = upsert_batch;
        let mut filtered = 0;
        if let Some(mask) = self.mask(&passing)? {
            let failing = || (0..mask.len()).filter(|row| !mask.value(*row)).map(|row| upserts[row]);
            if self.filtered == Filtered::Delete {
                deletes.extend(failing());
                deletes.sort_unstable();
            } else {
                filtered = (mask.len() - mask.true_count()) as u64;
            }
            passing = filter_record_batch(&passing, &mask).map_err(engine(&Place::Filter))?;
            upserts = mask.values().set_indices().map(|row| upserts[row]).collect();
        }
        if self.replaces {
            // Before they are unnested: a record without children has a parent, too.
            deletes.extend(&upserts);
            deletes.sort_unstable();
        }
        let (after_unnest, upserts) = self.unnest(passing, upserts)?;
        let mut columns = self.evaluate(&after_unnest, false)?;
        let mut picks = upserts;
        let mut deleted = Vec::new();
        if !deletes.is_empty() {
            let keys = self.evaluate(&pick(&batch, &deletes)?, true)?;
            (columns, picks, deleted) = interleaved(&columns, &picks, &keys, &deletes)?;
        }
        let picks = picks.into_iter().map(|row| kept[row as usize]).collect();
        Ok(Piece { columns, picks, deletes: deleted, filtered, ignored })
    }

    /// Which rows WHERE lets pass; `None`: all.
    fn mask(&self, batch: &RecordBatch) -> Result<Option<BooleanArray>, Failure> {
        let Some(filter) = &self.filter else { return Ok(None) };
        if batch.num_rows() == 0 {
            return Ok(None);
        }
        let mask = value(filter, batch).map_err(|error| Failure { place: Place::Filter, error })?;
        let Some(mask) = mask.as_boolean_opt() else {
            // The condition NULL lets nothing pass.
            return Ok(Some(BooleanArray::from(vec![false; batch.num_rows()])));
        };
        if mask.true_count() == mask.len() {
            return Ok(None);
        }
        // Unknown is not true.
        let bits = match mask.nulls() {
            Some(nulls) => mask.values() & nulls.inner(),
            None => mask.values().clone(),
        };
        Ok(Some(BooleanArray::new(bits, None)))
    }

    /// One row per element; several lists advance together, the shorter ones with nulls.
    fn unnest(&self, batch: RecordBatch, picks: Vec<u32>) -> Result<(RecordBatch, Vec<u32>), Failure> {
        if self.unnests.is_empty() {
            return Ok((batch, picks));
        }
        let failed = |error: DataFusionError| Failure { place: Place::Unnest, error };
        let rows = batch.num_rows();
        let arrays: Vec<ArrayRef> =
            self.unnests.iter().map(|list| value(list, &batch)).collect::<Result<_>>().map_err(failed)?;
        let lists: Vec<&ListArray> = arrays.iter().map(|array| array.as_list::<i32>()).collect();
        let length = |list: &ListArray, row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
        let mut repeated = Vec::new();
        let mut elements: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
        for row in 0..rows {
            let longest = lists.iter().map(|list| length(list, row)).max().unwrap_or(0);
            repeated.extend(std::iter::repeat_n(row as u32, longest));
            for (list, elements) in lists.iter().zip(&mut elements) {
                let start = list.value_offsets()[row] as u32;
                let own = length(list, row);
                elements.extend((0..longest).map(|index| (index < own).then_some(start + index as u32)));
            }
        }
        let mut columns = pick(&batch, &repeated)?.columns().to_vec();
        for (list, elements) in lists.iter().zip(elements) {
            let elements = take(list.values(), &UInt32Array::from(elements), None).map_err(engine(&Place::Unnest))?;
            columns.push(elements);
        }
        let count = repeated.len();
        let batch = batch_of(&self.unnested, columns, count).map_err(engine(&Place::Unnest))?;
        Ok((batch, repeated.into_iter().map(|row| picks[row as usize]).collect()))
    }

    /// The results; of deletes, only what the key needs.
    fn evaluate(&self, batch: &RecordBatch, only_keys: bool) -> Result<Vec<ArrayRef>, Failure> {
        let rows = batch.num_rows();
        let result = |output: &CompiledOutput| {
            let place = || output.place.clone();
            if rows == 0 {
                return Ok(new_empty_array(&self.result_type(output)));
            }
            if only_keys && !output.is_key {
                return Ok(new_null_array(output.convert.target(), rows));
            }
            let array = value(&output.expr, batch).map_err(|error| Failure { place: place(), error })?;
            match output.aggregate {
                Some(_) => Ok(array),
                None => output.convert.run(array).map_err(|error| Failure { place: place(), error }),
            }
        };
        self.outputs.iter().map(result).collect()
    }

    fn result_type(&self, output: &CompiledOutput) -> arrow_schema::DataType {
        match output.aggregate {
            Some(_) => output.expr.data_type(&self.unnested).unwrap_or(arrow_schema::DataType::Null),
            None => output.convert.target().clone(),
        }
    }

    pub(super) fn join(&self, mut pieces: Vec<Piece>) -> Piece {
        if pieces.len() == 1 {
            return pieces.swap_remove(0);
        }
        let columns = self.outputs.iter().enumerate().map(|(index, output)| {
            let parts: Vec<&dyn Array> = pieces.iter().map(|piece| piece.columns[index].as_ref()).collect();
            match parts.as_slice() {
                [] => new_empty_array(output.convert.target()),
                parts => concat(parts).expect("the parts of a column have one type"),
            }
        });
        let mut joined = Piece { columns: columns.collect(), ..Piece::default() };
        for piece in pieces {
            let start = joined.picks.len() as u32;
            joined.deletes.extend(piece.deletes.iter().map(|row| row + start));
            joined.picks.extend(piece.picks);
        }
        joined
    }

    fn rows(&self, rows: &Rows, piece: Piece) -> Rows {
        let Piece { columns, picks, deletes, .. } = piece;
        let count = picks.len();
        let mut operations = vec![Operation::Upsert; count];
        let deletion = if self.replaces { Operation::Replace } else { Operation::Delete };
        for row in deletes {
            operations[row as usize] = deletion;
        }
        let pick_bits = |bits: &BooleanBuffer| picks.iter().map(|row| bits.value(*row as usize)).collect();
        let presence = |output: &CompiledOutput| {
            let input = output.passes.filter(|_| !self.grouped)?;
            rows.presence[input].as_ref().map(pick_bits)
        };
        let times = if rows.timestamps.is_empty() { &[][..] } else { picks.as_slice() };
        Rows {
            presence: self.outputs.iter().map(presence).collect(),
            operations,
            origins: picks.iter().map(|row| rows.origins[*row as usize]).collect(),
            timestamps: times.iter().map(|row| rows.timestamps[*row as usize]).collect(),
            batch: batch_of(&self.schema, columns, count).expect("results have the target's types"),
        }
    }
}

/// The place nearest to the middle where a record begins. `None`: it is one record.
pub(super) fn middle(range: &Range<usize>, origin: impl Fn(usize) -> u32) -> Option<usize> {
    let middle = range.start + range.len() / 2;
    let record = origin(middle);
    let begins = (range.start..middle).rev().take_while(|row| origin(*row) == record).last().unwrap_or(middle);
    if begins > range.start {
        return Some(begins);
    }
    (middle..range.end).find(|row| origin(*row) != record)
}

pub(super) fn value(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef> {
    expr.evaluate(batch)?.into_array_of_size(batch.num_rows())
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new_with_options(schema.clone(), columns, &RecordBatchOptions::new().with_row_count(Some(rows)))
}

fn engine(place: &Place) -> impl Fn(ArrowError) -> Failure {
    let place = place.clone();
    move |error| Failure { place: place.clone(), error: DataFusionError::from(error) }
}

fn pick(batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, Failure> {
    if batch.num_columns() == 0 {
        return batch_of(&batch.schema(), Vec::new(), rows.len()).map_err(engine(&Place::Filter));
    }
    take_record_batch(batch, &UInt32Array::from(rows.to_vec())).map_err(engine(&Place::Filter))
}

type Interleaved = (Vec<ArrayRef>, Vec<u32>, Vec<u32>);

/// Upserts and deletes in the order of their rows; of one row, the delete comes first.
fn interleaved(
    upserts: &[ArrayRef],
    picks: &[u32],
    keys: &[ArrayRef],
    deletes: &[u32],
) -> Result<Interleaved, Failure> {
    let mut order: Vec<(u32, usize, usize)> = picks.iter().enumerate().map(|(index, row)| (*row, 1, index)).collect();
    order.extend(deletes.iter().enumerate().map(|(index, row)| (*row, 0, index)));
    order.sort_unstable();
    let sources: Vec<(usize, usize)> = order.iter().map(|(_, side, index)| (*side, *index)).collect();
    let column = |(upserts, keys): (&ArrayRef, &ArrayRef)| interleave(&[keys.as_ref(), upserts.as_ref()], &sources);
    let columns = upserts.iter().zip(keys).map(column).collect::<Result<_, _>>().map_err(engine(&Place::Filter))?;
    let deleted = (0..order.len() as u32).filter(|index| order[*index as usize].1 == 0).collect();
    Ok((columns, order.into_iter().map(|(row, ..)| row).collect(), deleted))
}
