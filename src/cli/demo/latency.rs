//! Quantiles out of the histogram that `/metrics` shows.

use std::time::Duration;

/// The cumulative buckets of one histogram: upper bound in seconds, count.
#[derive(Debug, Clone, Default)]
pub struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    /// Reads `name` out of a rendered exposition.
    pub fn read(exposition: &str, name: &str) -> Self {
        let prefix = format!("{name}_bucket{{");
        let lines = exposition.lines().filter_map(|line| line.strip_prefix(&prefix));
        let bucket = |line: &str| {
            let bound = line.split("le=\"").nth(1)?.split('"').next()?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
            Some((bound, line.rsplit(' ').next()?.parse().ok()?))
        };
        Self(lines.filter_map(bucket).collect())
    }

    /// What was added since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| earlier.0.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().map(|(bound, count)| (*bound, count - before(*bound))).collect())
    }

    /// The quantile, interpolated inside its bucket as Prometheus does it. `None` without observations.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let total = self.0.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = quantile * total;
        let index = self.0.iter().position(|(_, count)| *count >= rank)?;
        let (below, counted) = if index == 0 { (0.0, 0.0) } else { self.0[index - 1] };
        let (bound, count) = self.0[index];
        if bound.is_infinite() {
            return Some(Duration::from_secs_f64(below));
        }
        let share = if count > counted { (rank - counted) / (count - counted) } else { 1.0 };
        Some(Duration::from_secs_f64(below + (bound - below) * share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSITION: &str = "\
# TYPE wait_seconds histogram
wait_seconds_bucket{pipeline=\"demo\",le=\"0.01\"} 50
wait_seconds_bucket{pipeline=\"demo\",le=\"0.02\"} 99
wait_seconds_bucket{pipeline=\"demo\",le=\"+Inf\"} 100
wait_seconds_sum{pipeline=\"demo\"} 1
";

    #[test]
    fn quantiles_lie_inside_their_bucket() {
        let buckets = Buckets::read(EXPOSITION, "wait_seconds");
        assert_eq!(buckets.quantile(0.5), Some(Duration::from_millis(10)));
        assert_eq!(buckets.quantile(0.25), Some(Duration::from_millis(5)));
        assert_eq!(buckets.quantile(0.99), Some(Duration::from_millis(20)));
        assert_eq!(buckets.quantile(1.0), Some(Duration::from_millis(20)), "the last finite bound");
        assert_eq!(buckets.since(&buckets).quantile(0.5), None);
    }
}
