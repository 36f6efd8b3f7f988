//! The page and its plots.
use crate::origin::{self, Machine};
use std::{fmt::Write, io::Result, path::Path};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 48.0;

/// What is written to docs/benchmarks-barge-in.md.
#[derive(Default)]
pub(crate) struct Report {
    page: String,
    plots: Vec<(&'static str, String)>,
}

impl Report {
    pub(crate) fn section(&mut self, title: &str, text: &str) {
        println!("{title}");
        let _ = write!(self.page, "\n## {title}\n\n{text}\n\n"); // writing to a string does not fail
    }

    pub(crate) fn text(&mut self, text: &str) {
        let _ = write!(self.page, "\n{text}\n"); // as above
    }

    pub(crate) fn table(&mut self, columns: &[&str]) {
        let _ = writeln!(self.page, "| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())); // as above
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        println!("  {}", cells.join(" | "));
        let _ = writeln!(self.page, "| {} |", cells.join(" | ")); // as above
    }

    pub(crate) fn plot(&mut self, id: &'static str, title: &str, values: &[f64]) {
        self.plots.push((id, cumulative(title, values)));
    }

    pub(crate) fn write(&self, docs: &Path) -> Result<()> {
        let (machine, when) = (Machine::look()?, origin::when(docs));
        let mut page = format!(
            "# Barge-in\n\nWritten by `make bench-barge-in` on {when}; measured again, not edited. Whole media sessions in virtual \
             time: the assistant talks, a phone sends RTP, and the session ducks and cuts as in a call.\n",
        );
        page.push_str(&self.page);
        page.push_str("\n## Plots\n\nOn a quiet line without echo.\n\n");
        for (id, svg) in &self.plots {
            let _ = writeln!(page, "![{id}](bench/{id}.svg)"); // as above
            std::fs::write(docs.join(format!("bench/{id}.svg")), svg)?;
        }
        let _ = writeln!(page, "\n## Machine\n\n{machine}. Only the costs depend on it."); // as above
        std::fs::write(docs.join("benchmarks-barge-in.md"), page)
    }
}

pub(crate) fn share(part: usize, of: usize) -> String {
    if of == 0 { "not measured".into() } else { format!("{part} ({:.1} %)", part as f64 * 100.0 / of as f64) }
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
}

pub(crate) fn percentiles(values: &[f64]) -> String {
    format!("{:.0} / {:.0}", percentile(values, 0.5), percentile(values, 0.95))
}

/// The cumulative distribution of `values` (ms).
fn cumulative(title: &str, values: &[f64]) -> String {
    let end = (percentile(values, 1.0) / 100.0).ceil().max(1.0) * 100.0;
    let x = |ms: f64| MARGIN + ms / end * (WIDTH - 2.0 * MARGIN);
    let y = |share: f64| HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN);
    let points: Vec<String> = (0..=100)
        .map(|n| f64::from(n) / 100.0)
        .map(|share| format!("{:.1},{:.1}", x(percentile(values, share)), y(share)))
        .collect();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{MARGIN}\" y=\"20\" font-size=\"13\">{title} (n = {})</text>\n",
        values.len()
    );
    for share in [0.0, 0.5, 0.95, 1.0] {
        let (y, label) = (y(share), share * 100.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{MARGIN} {y:.1}H{:.1}\" stroke=\"#e4e4e4\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label} %</text>",
            WIDTH - MARGIN,
            MARGIN - 6.0,
            y + 4.0
        ); // as above
    }
    for tick in 0..=4 {
        let ms = end * f64::from(tick) / 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{ms} ms</text>",
            x(ms),
            HEIGHT - MARGIN + 18.0
        ); // as above
    }
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"1.8\"/>\n</svg>",
        points.join(" ")
    ); // as above
    svg
}
