//! A histogram of Prometheus.
use super::Page;

/// Counts of values at or below each of `N` bounds, and of all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram<const N: usize> {
    bounds: [f64; N],
    counts: [u64; N],
    count: u64,
    sum: f64,
}

impl<const N: usize> Histogram<N> {
    pub(super) const fn new(bounds: [f64; N]) -> Self {
        Self { bounds, counts: [0; N], count: 0, sum: 0.0 }
    }

    pub(super) fn add(&mut self, value: f64) {
        for (bound, count) in self.bounds.iter().zip(&mut self.counts) {
            *count += u64::from(value <= *bound);
        }
        self.count += 1;
        self.sum += value;
    }

    /// `labels` without braces, perhaps none.
    pub(super) fn write(&self, name: &str, labels: &str, page: &mut Page) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            page.sample(&format!("{name}_bucket"), &format!("{{{labels}{comma}le=\"{bound}\"}}"), *count);
        }
        page.sample(&format!("{name}_bucket"), &format!("{{{labels}{comma}le=\"+Inf\"}}"), self.count);
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        page.number(&format!("{name}_sum"), &labels, self.sum);
        page.sample(&format!("{name}_count"), &labels, self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_in_every_bucket_it_fits_in() {
        let mut histogram = Histogram::new([0.0, 0.001, 0.005, 0.01, 0.03, 0.05, 0.1]);
        [0.0, 0.004, 0.5].iter().for_each(|value| histogram.add(*value));
        let mut page = Page(String::new());
        histogram.write("x", "way=\"up\"", &mut page);
        let want = [
            "x_bucket{way=\"up\",le=\"0\"} 1",
            "x_bucket{way=\"up\",le=\"0.001\"} 1",
            "x_bucket{way=\"up\",le=\"0.005\"} 2",
            "x_bucket{way=\"up\",le=\"0.01\"} 2",
            "x_bucket{way=\"up\",le=\"0.03\"} 2",
            "x_bucket{way=\"up\",le=\"0.05\"} 2",
            "x_bucket{way=\"up\",le=\"0.1\"} 2",
            "x_bucket{way=\"up\",le=\"+Inf\"} 3",
            "x_sum{way=\"up\"} 0.504",
            "x_count{way=\"up\"} 3",
        ];
        assert_eq!(page.0.lines().collect::<Vec<_>>(), want);
    }
}
