//! Percentiles of all samples, and what they are to be.
use serde_json::{Map, Value, json};

/// Samples of one metric; all of them count.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    /// Name used by everybody who reads `summary.json`.
    pub(crate) id: &'static str,
    /// One line for a person.
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) target: Option<Target>,
    /// What was measured from where to where, and what is in it.
    pub(crate) method: String,
    samples: Vec<f64>,
    extra: Map<String, Value>,
}

/// A percentile that is not to be above a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) percentile: f64,
    pub(crate) limit: f64,
}

/// Whether a target was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    NoTarget,
    /// There are no samples: the measurement failed.
    NotMeasured,
}

impl Metric {
    /// Sorts the samples.
    pub(crate) fn new(id: &'static str, title: &'static str, unit: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { id, title, unit, target: None, method: String::new(), samples, extra: Map::new() }
    }

    /// Adds a limit.
    pub(crate) fn target(mut self, percentile: f64, limit: f64) -> Self {
        self.target = Some(Target { percentile, limit });
        self
    }

    /// Says how it was measured.
    pub(crate) fn method(mut self, words: impl Into<String>) -> Self {
        self.method = words.into();
        self
    }

    /// Adds a condition.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(key.to_owned(), value.into());
        self
    }

    /// The samples, smallest first.
    pub(crate) fn samples(&self) -> &[f64] {
        &self.samples
    }

    /// Whether there is a distribution to be seen.
    pub(crate) fn varies(&self) -> bool {
        self.samples.first() < self.samples.last()
    }

    /// Nearest rank: the smallest sample that is not below `percentile` percent of all.
    pub(crate) fn percentile(&self, percentile: f64) -> Option<f64> {
        let rank = (percentile / 100.0 * self.samples.len() as f64).ceil() as usize;
        self.samples.get(rank.saturating_sub(1)).copied()
    }

    /// Whether the target was met.
    pub(crate) fn verdict(&self) -> Verdict {
        match (self.target, self.target.and_then(|target| self.percentile(target.percentile))) {
            _ if self.samples.is_empty() => Verdict::NotMeasured,
            (Some(target), Some(value)) if value <= target.limit => Verdict::Met,
            (Some(_), _) => Verdict::Missed,
            (None, _) => Verdict::NoTarget,
        }
    }

    /// As in `summary.json`.
    pub(crate) fn to_json(&self, conditions: &Map<String, Value>) -> Value {
        let mut all = conditions.clone();
        all.extend(self.extra.clone());
        let target = self.target.map(|target| {
            json!({"percentile": format!("p{}", target.percentile), "limit": target.limit,
                   "met": self.verdict() == Verdict::Met})
        });
        let rounded = |percentile| self.percentile(percentile).map(round);
        json!({
            "unit": self.unit, "p50": rounded(50.0), "p95": rounded(95.0), "p99": rounded(99.0),
            "max": rounded(100.0), "n": self.samples.len(), "target": target, "method": self.method,
            "conditions": all,
        })
    }
}

/// To the microsecond; more is noise.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let metric = Metric::new("x", "", "ms", (1..=200).rev().map(f64::from).collect());
        for (percentile, expected) in [(50.0, 100.0), (95.0, 190.0), (99.0, 198.0), (99.9, 200.0), (100.0, 200.0)] {
            assert_eq!(metric.percentile(percentile), Some(expected), "{percentile}");
        }
        assert_eq!(Metric::new("x", "", "ms", Vec::new()).percentile(50.0), None);
    }

    #[test]
    fn a_target_is_met_at_its_limit_and_never_without_samples() {
        let metric = |samples| Metric::new("x", "", "ms", samples).target(99.0, 5.0).verdict();
        assert_eq!(metric(vec![5.0]), Verdict::Met);
        assert_eq!(metric(vec![5.1]), Verdict::Missed);
        assert_eq!(metric(Vec::new()), Verdict::NotMeasured);
    }
}
