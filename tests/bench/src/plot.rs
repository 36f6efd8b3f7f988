//! A distribution as a picture: what share of the samples is at or below each value.
use crate::metric::Metric;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
/// Points of the curve; a sample between two of them is not seen.
const POINTS: usize = 400;

/// The cumulative distribution as SVG, `None` without samples. The axis ends at the 99.9th percentile or a little after
/// the target; what lies beyond is told in words.
pub(crate) fn cumulative(metric: &Metric) -> Option<String> {
    let reach = metric.percentile(99.9)?;
    let end = axis_end(metric.target.map_or(reach, |target| reach.max(target.limit * 1.15)));
    let x = |value: f64| LEFT + (value / end).min(1.0) * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\" fill=\"#222\">{}: {} (n = {})</text>\n",
        metric.id,
        metric.title,
        metric.samples().len()
    );
    for share in [0.0, 0.25, 0.5, 0.75, 0.95, 1.0] {
        rule(&mut svg, (LEFT, y(share)), (WIDTH - RIGHT, y(share)), "#e4e4e4");
        label(&mut svg, (LEFT - 6.0, y(share) + 4.0), "end", &format!("{:.0} %", share * 100.0));
    }
    for tick in 0..=5 {
        let value = end * f64::from(tick) / 5.0;
        rule(&mut svg, (x(value), TOP), (x(value), HEIGHT - BOTTOM), "#f0f0f0");
        label(&mut svg, (x(value), HEIGHT - BOTTOM + 16.0), "middle", &number(value));
    }
    label(&mut svg, ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0), "middle", metric.unit);
    if let Some(target) = metric.target {
        rule(&mut svg, (x(target.limit), TOP), (x(target.limit), HEIGHT - BOTTOM), "#c0392b");
        let words = format!("p{} ≤ {}", target.percentile, number(target.limit));
        label(&mut svg, (x(target.limit) - 4.0, HEIGHT - BOTTOM - 6.0), "end", &words);
    }
    let mut curve = String::new();
    for point in 0..=POINTS {
        let share = point as f64 / POINTS as f64;
        let value = metric.percentile(share * 100.0).unwrap_or_default();
        if value <= end {
            // Writing to a string does not fail.
            let _ = write!(curve, "{:.1},{:.1} ", x(value), y(share));
        }
    }
    let _ =
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"1.8\"/>", curve.trim());
    svg.push_str("</svg>\n");
    Some(svg)
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn label(svg: &mut String, at: (f64, f64), anchor: &str, words: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"#555\">{words}</text>",
        at.0, at.1
    );
}

/// The next of 1, 2, 2.5, 5, 10, 20, … that five ticks divide well.
fn axis_end(reach: f64) -> f64 {
    let reach = reach.max(0.001);
    let decade = 10_f64.powf(reach.log10().floor());
    let step = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0].into_iter().find(|step| step * decade >= reach);
    step.unwrap_or(10.0) * decade
}

fn number(value: f64) -> String {
    format!("{}", (value * 1_000.0).round() / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_reaches_a_little_beyond() {
        for (reach, end) in [(0.9, 1.0), (1.2, 1.5), (22.0, 25.0), (101.0, 150.0), (0.0, 0.001)] {
            assert!((axis_end(reach) - end).abs() < 1e-9, "{reach}: {}", axis_end(reach));
        }
    }

    #[test]
    fn a_curve_rises_to_the_top_and_its_target_is_drawn() {
        let metric = Metric::new("x", "what", "ms", (0..100).map(f64::from).collect()).target(99.0, 50.0);
        let svg = cumulative(&metric).unwrap();
        assert!(svg.contains("p99 ≤ 50") && svg.contains("<polyline") && svg.ends_with("</svg>\n"));
        assert_eq!(cumulative(&Metric::new("x", "", "ms", Vec::new())), None);
    }
}
