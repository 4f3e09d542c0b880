//! What a text without a zone means.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::decode::problem::Problem;

pub(super) enum Zone {
    /// It is taken as it is.
    Utc,
    Named(TimeZone),
    /// None was declared.
    Missing,
    /// The declared name is not in the time zone database.
    Unknown,
}

impl Zone {
    pub fn utc() -> Self {
        Self::Utc
    }

    /// `source.timezone`.
    pub fn named(name: Option<&str>) -> Self {
        match name.map(TimeZone::get) {
            None => Self::Missing,
            Some(Ok(zone)) if zone == TimeZone::UTC => Self::Utc,
            Some(Ok(zone)) => Self::Named(zone),
            Some(Err(_)) => Self::Unknown,
        }
    }

    /// The instant at which the clocks of the zone show `local` (microseconds since 1970-01-01T00:00, read as if they
    /// were UTC). A time that the clocks skip is read with the offset before the change, so it moves on by the
    /// length of the gap; of a time that they show twice it is the first (what RFC 5545 and Temporal call compatible).
    pub fn instant(&self, local: i64) -> Result<i64, Problem> {
        match self {
            Self::Utc => Ok(local),
            Self::Named(zone) => {
                let shown = Timestamp::from_microsecond(local).map_err(|_| Problem::out_of_range())?;
                let shown = TimeZone::UTC.to_datetime(shown);
                let instant = zone.to_ambiguous_timestamp(shown).compatible();
                instant.map(Timestamp::as_microsecond).map_err(|_| Problem::out_of_range())
            }
            Self::Missing => {
                Err(Problem::new("missing-zone", "a time without a zone: set timezone = \"<IANA name>\" in [source]"))
            }
            Self::Unknown => Err(Problem::new(
                "missing-zone",
                "a time without a zone, and the timezone in [source] is not known here",
            )),
        }
    }
}
