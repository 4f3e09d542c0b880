//! How many rows go into one statement.

/// The servers keep 500 (MariaDB) to 800 bytes (MySQL) per placeholder of a prepared statement for as long as the
/// connection lives: 6 MiB at most. More rows per statement are no faster. The protocol's own limit is 65,535.
const MAX_PLACEHOLDERS: usize = 8_192;
/// A statement of this size is far beyond where a larger one is faster, and its packet is never split by the protocol
/// (at 16 MiB).
const MAX_BYTES: usize = 8 << 20;
/// Up to here each number of rows has its own statement: a small batch is one round trip.
const EXACT: usize = 16;

/// What bounds the statements of one step.
pub(super) struct Chunks {
    pub placeholders_per_row: usize,
    /// Bytes of SQL per row.
    pub sql_per_row: usize,
    /// `max_allowed_packet`.
    pub max_packet: usize,
}

impl Chunks {
    /// How many of `remaining` rows the next statement takes; `size(i)` is the encoded size of the i-th of them.
    ///
    /// Few numbers are used, so that few statements are prepared: all up to 16, above it powers of two.
    pub fn next(&self, remaining: usize, size: impl Fn(usize) -> usize) -> usize {
        // Half of what the server takes: the other half is for what is not counted here.
        let bytes = (self.max_packet / 2).min(MAX_BYTES);
        let most = remaining
            .min(MAX_PLACEHOLDERS / self.placeholders_per_row.max(1))
            .min(bytes / self.sql_per_row.max(1))
            .max(1);
        let mut sum = 0;
        let fitting = (0..most).take_while(|&row| {
            sum += size(row);
            sum <= bytes
        });
        Self::round(fitting.count().max(1))
    }

    /// The next smaller number of rows that has its own statement.
    pub fn round(rows: usize) -> usize {
        if rows <= EXACT { rows } else { 1 << rows.ilog2() }
    }

    /// Can a row of this size be sent at all?
    pub fn fits(&self, size: usize) -> bool {
        // 1 KiB: the packet's own fields and a statement of one row.
        size + 1024 <= self.max_packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(placeholders_per_row: usize, max_packet: usize) -> Chunks {
        Chunks { placeholders_per_row, sql_per_row: 10, max_packet }
    }

    fn all(chunks: &Chunks, rows: usize, size: usize) -> Vec<usize> {
        let mut left = rows;
        std::iter::from_fn(|| {
            let next = (left > 0).then(|| chunks.next(left, |_| size))?;
            left -= next;
            Some(next)
        })
        .collect()
    }

    #[test]
    fn few_sizes_cover_any_number_of_rows() {
        assert_eq!(
            all(&chunks(8, 16 << 20), 10_000, 100),
            [1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 512, 256, 16]
        );
        assert_eq!(all(&chunks(8, 16 << 20), 13, 100), [13]);
        assert_eq!(all(&chunks(8, 16 << 20), 23, 100), [16, 7]);
    }

    #[test]
    fn placeholders_and_bytes_bound_a_statement() {
        assert_eq!(chunks(4096, 16 << 20).next(100, |_| 1), 2);
        assert_eq!(chunks(10_000, 16 << 20).next(100, |_| 1), 1);
        // 512 KiB of 1 MiB, in rows of 100 KiB.
        assert_eq!(all(&chunks(2, 1 << 20), 12, 100 << 10), [5, 5, 2]);
        // A row larger than that goes alone.
        assert_eq!(all(&chunks(2, 1 << 20), 2, 900 << 10), [1, 1]);
        assert!(chunks(2, 1 << 20).fits(900 << 10) && !chunks(2, 1 << 20).fits(1 << 20));
    }
}
