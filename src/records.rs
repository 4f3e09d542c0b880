//! Records as they came from Kafka: a batch as columns, one shared buffer each for keys, values and headers.
//!
//! Nothing here allocates per record, and nothing here knows a Kafka client. The batch is kept until the receipt of
//! its commit, so that any row's original bytes can be had.

use std::sync::Arc;

use crate::lease::Lease;
use crate::offsets::{BrokenChain, Interval, Offsets};

/// Optional byte strings in one buffer.
#[derive(Default, Clone, Debug)]
struct Bytes {
    data: Vec<u8>,
    /// Start and length; a length of `NULL` is a null, which is not an empty string.
    spans: Vec<(u32, u32)>,
}

const NULL: u32 = u32::MAX;

impl Bytes {
    fn push(&mut self, value: Option<&[u8]>) {
        // A batch ends long before 4 GiB: the consumer bounds it by `sink.batch.bytes` plus one record.
        let start = u32::try_from(self.data.len()).expect("a batch of records is below 4 GiB");
        match value {
            None => self.spans.push((start, NULL)),
            Some(bytes) => {
                let length = u32::try_from(bytes.len()).expect("a record is below 4 GiB");
                self.data.extend_from_slice(bytes);
                self.spans.push((start, length));
            }
        }
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        let (start, length) = self.spans[row];
        (length != NULL).then(|| &self.data[start as usize..start as usize + length as usize])
    }
}

/// One record of a batch, borrowed from it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    records: &'a Records,
    row: usize,
}

impl<'a> Record<'a> {
    /// The claim under which it was read; names the topic and the partition.
    pub fn lease(&self) -> &'a Arc<Lease> {
        &self.records.leases[self.records.lease_of[self.row] as usize]
    }

    pub fn topic(&self) -> &'a str {
        &self.lease().partition().topic
    }

    pub fn partition(&self) -> i32 {
        self.lease().partition().partition
    }

    pub fn offset(&self) -> i64 {
        self.records.offsets[self.row]
    }

    /// Milliseconds since 1970 (create or append time, as the topic is set), or `None` where the record has none.
    pub fn timestamp(&self) -> Option<i64> {
        let timestamp = self.records.timestamps[self.row];
        (timestamp >= 0).then_some(timestamp)
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        self.records.keys.get(self.row)
    }

    /// `None` is a tombstone; an empty value is `Some(b"")`.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.records.values.get(self.row)
    }

    /// Names may repeat and values may be null.
    pub fn headers(&self) -> Headers<'a> {
        Headers(self.records.headers.get(self.row).unwrap_or_default())
    }
}

/// The headers of a record, in their order.
#[derive(Clone)]
pub struct Headers<'a>(&'a [u8]);

/// Appends one header in the form that [`Headers`] reads: length and bytes of the name, length and bytes of the value.
fn write_header(buffer: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) {
    for part in [Some(name), value] {
        let length = part.map_or(NULL, |bytes| bytes.len() as u32);
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(part.unwrap_or_default());
    }
}

fn read_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>().expect("written by write_header");
    let length = u32::from_le_bytes(*length);
    *rest = tail;
    if length == NULL {
        return None;
    }
    let (part, tail) = rest.split_at(length as usize);
    *rest = tail;
    Some(part)
}

impl<'a> Iterator for Headers<'a> {
    /// The name's bytes (Kafka says UTF-8, a producer may write anything) and the value.
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let name = read_part(&mut self.0).unwrap_or_default();
        Some((name, read_part(&mut self.0)))
    }
}

/// A batch of records with the intervals of offsets that it covers.
#[derive(Default, Clone, Debug)]
pub struct Records {
    keys: Bytes,
    values: Bytes,
    headers: Bytes,
    header_buffer: Vec<u8>,
    leases: Vec<Arc<Lease>>,
    lease_of: Vec<u32>,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    covered: Offsets,
}

impl Records {
    /// The number of records. A batch without records may still cover offsets.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Memory held by the records, in bytes: what the budget counts.
    pub fn bytes(&self) -> usize {
        // 48: the bookkeeping of a record in the vectors above.
        self.keys.data.len() + self.values.data.len() + self.headers.data.len() + self.len() * 48
    }

    /// What a commit of this batch moves the positions over.
    pub fn covered(&self) -> &Offsets {
        &self.covered
    }

    /// The claims under which the batch was read, one per partition.
    pub fn leases(&self) -> &[Arc<Lease>] {
        &self.leases
    }

    /// How many records were read under the claim with this index in [`Records::leases`].
    pub fn count_of_lease(&self, index: usize) -> u64 {
        self.lease_of.iter().filter(|lease| **lease as usize == index).count() as u64
    }

    /// The records' timestamps in milliseconds since 1970, each with how many records in a row have it.
    pub fn timestamps(&self) -> impl Iterator<Item = (i64, usize)> {
        self.timestamps.chunk_by(|a, b| a == b).filter(|run| run[0] >= 0).map(|run| (run[0], run.len()))
    }

    pub fn get(&self, row: usize) -> Record<'_> {
        assert!(row < self.len());
        Record { records: self, row }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|row| Record { records: self, row })
    }

    /// Appends a record. `position` is where the reading of this partition stood before it: offsets between
    /// `position` and `offset` carried no record.
    ///
    /// # Errors
    /// [`BrokenChain`] when `position` is not where the batch's interval of that partition ends.
    #[allow(clippy::too_many_arguments, reason = "a record's parts, once, at the single place that makes them")]
    pub fn push<'h>(
        &mut self,
        lease: &Arc<Lease>,
        position: i64,
        offset: i64,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> Result<(), BrokenChain> {
        let lease_index = self.cover(lease, Interval::new(position, offset + 1))?;
        self.lease_of.push(lease_index);
        self.offsets.push(offset);
        self.timestamps.push(timestamp.unwrap_or(-1));
        self.keys.push(key);
        self.values.push(value);
        self.header_buffer.clear();
        for (name, value) in headers {
            write_header(&mut self.header_buffer, name, value);
        }
        self.headers.push((!self.header_buffer.is_empty()).then_some(&self.header_buffer));
        Ok(())
    }

    /// Covers offsets that carry no record: the reader has come past transaction markers or holes.
    ///
    /// # Errors
    /// [`BrokenChain`] as for [`Records::push`].
    pub fn skip(&mut self, lease: &Arc<Lease>, interval: Interval) -> Result<(), BrokenChain> {
        self.cover(lease, interval).map(|_| ())
    }

    fn cover(&mut self, lease: &Arc<Lease>, interval: Interval) -> Result<u32, BrokenChain> {
        self.covered.extend(lease.partition(), interval)?;
        // Few partitions per lane and runs of one partition: the last one is nearly always it.
        let known = self.leases.iter().rposition(|known| Arc::ptr_eq(known, lease));
        let index = known.unwrap_or_else(|| {
            self.leases.push(lease.clone());
            self.leases.len() - 1
        });
        Ok(index as u32)
    }

    /// Takes out every record and interval whose lease has ended.
    pub fn without_ended_leases(self) -> Self {
        if self.leases.iter().all(|lease| lease.is_alive()) {
            return self;
        }
        self.rebuild(0..self.len(), |lease| lease.is_alive(), |_| None)
    }

    /// The first `at` records, and the rest. Each partition's interval is cut after its last record in the first
    /// half, so that both halves chain: the first must be committed before the second.
    pub fn split_at(&self, at: usize) -> (Self, Self) {
        let mut cuts: Vec<Option<i64>> = vec![None; self.leases.len()];
        for row in 0..at {
            cuts[self.lease_of[row] as usize] = Some(self.offsets[row] + 1);
        }
        let cut = |lease: &Arc<Lease>| {
            let index = self.leases.iter().position(|known| Arc::ptr_eq(known, lease))?;
            let whole = self.covered.get(lease.partition())?;
            Some((whole, cuts[index].unwrap_or(whole.from())))
        };
        let head = self.rebuild(0..at, |_| true, |lease| cut(lease).map(|(w, c)| Interval::new(w.from(), c)));
        let tail = self.rebuild(at..self.len(), |_| true, |lease| cut(lease).map(|(w, c)| Interval::new(c, w.to())));
        (head, tail)
    }

    fn rebuild(
        &self,
        rows: std::ops::Range<usize>,
        keep: impl Fn(&Lease) -> bool,
        interval: impl Fn(&Arc<Lease>) -> Option<Interval>,
    ) -> Self {
        let mut out = Self::default();
        let mut index = vec![None; self.leases.len()];
        for (old, lease) in self.leases.iter().enumerate() {
            let covered = interval(lease).or_else(|| self.covered.get(lease.partition()));
            if let Some(covered) = covered.filter(|covered| keep(lease) && !covered.is_empty()) {
                index[old] = Some(out.cover(lease, covered).expect("each partition is covered once"));
            }
        }
        for row in rows {
            let Some(lease) = index[self.lease_of[row] as usize] else { continue };
            out.lease_of.push(lease);
            out.offsets.push(self.offsets[row]);
            out.timestamps.push(self.timestamps[row]);
            out.keys.push(self.keys.get(row));
            out.values.push(self.values.get(row));
            out.headers.push(self.headers.get(row));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::TopicPartition;

    fn lease(partition: i32) -> Arc<Lease> {
        Arc::new(Lease::new(TopicPartition::new("t", partition), 1, 0))
    }

    fn push(records: &mut Records, lease: &Arc<Lease>, position: i64, offset: i64) {
        let value = offset.to_string();
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"1")), (b"b", None)];
        records
            .push(lease, position, offset, Some(7), Some(b"k"), Some(value.as_bytes()), headers.into_iter())
            .unwrap();
    }

    #[test]
    fn null_and_empty_are_two_things() {
        let lease = lease(0);
        let mut records = Records::default();
        records.push(&lease, 0, 0, None, None, Some(b""), std::iter::empty()).unwrap();
        records.push(&lease, 1, 1, None, Some(b""), None, std::iter::empty()).unwrap();
        assert_eq!((records.get(0).key(), records.get(0).value()), (None, Some(&b""[..])));
        assert_eq!((records.get(1).key(), records.get(1).value()), (Some(&b""[..]), None));
        assert_eq!(records.get(0).timestamp(), None);
    }

    #[test]
    fn headers_keep_order_and_nulls() {
        let lease = lease(0);
        let mut records = Records::default();
        push(&mut records, &lease, 0, 0);
        let headers: Vec<_> = records.get(0).headers().collect();
        assert_eq!(headers, [(&b"a"[..], Some(&b"1"[..])), (&b"b"[..], None)]);
    }

    #[test]
    fn halves_chain_and_keep_every_offset() {
        let (a, b) = (lease(0), lease(1));
        let mut records = Records::default();
        push(&mut records, &a, 0, 2);
        push(&mut records, &b, 10, 10);
        push(&mut records, &a, 3, 5);
        records.skip(&b, Interval::new(11, 14)).unwrap();
        let (head, tail) = records.split_at(1);
        assert_eq!(head.covered().get(a.partition()), Some(Interval::new(0, 3)));
        assert_eq!(head.covered().get(b.partition()), None, "nothing of it is in the first half");
        assert_eq!(tail.covered().get(a.partition()), Some(Interval::new(3, 6)));
        assert_eq!(tail.covered().get(b.partition()), Some(Interval::new(10, 14)));
        assert_eq!((head.len(), tail.len()), (1, 2));
        assert_eq!(tail.get(1).value(), Some(&b"5"[..]));
    }

    #[test]
    fn an_ended_lease_takes_its_records_and_offsets_with_it() {
        let (a, b) = (lease(0), lease(1));
        let mut records = Records::default();
        push(&mut records, &a, 0, 0);
        push(&mut records, &b, 5, 5);
        push(&mut records, &a, 1, 1);
        a.end();
        let left = records.without_ended_leases();
        assert_eq!(left.len(), 1);
        assert_eq!(left.get(0).offset(), 5);
        assert_eq!(left.covered().get(a.partition()), None);
    }

    #[test]
    fn a_record_that_does_not_chain_is_refused() {
        let a = lease(0);
        let mut records = Records::default();
        push(&mut records, &a, 0, 0);
        assert!(records.push(&a, 2, 2, None, None, None, std::iter::empty()).is_err());
        assert_eq!(records.len(), 1);
    }
}
