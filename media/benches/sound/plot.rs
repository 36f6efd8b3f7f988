//! Scores over loss as a picture.
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;
/// The axes: loss in percent, PESQ.
const MOST: f64 = 10.0;
const SCORES: (f64, f64) = (1.0, 4.6);
const COLOURS: [&str; 4] = ["#1f6feb", "#2da44e", "#bf8700", "#c0392b"];

/// One line.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Two curves of each name, one of them dashed, as SVG. Writing to a string does not fail.
pub(crate) fn curves(title: &str, curves: &[Curve]) -> String {
    let x = |percent: f64| LEFT + percent / MOST * (WIDTH - LEFT - RIGHT);
    let y = |score: f64| HEIGHT - BOTTOM - (score - SCORES.0) / (SCORES.1 - SCORES.0) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"13\" fill=\"#222\">{title}</text>\n"
    );
    for score in [1.0, 2.0, 3.0, 4.0] {
        let (at, end) = (y(score), WIDTH - RIGHT);
        let _ = writeln!(svg, "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" stroke=\"#e4e4e4\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{score}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for percent in [0.0, 1.0, 3.0, 5.0, 10.0] {
        let (at, foot) = (x(percent), HEIGHT - BOTTOM + 16.0);
        let _ =
            writeln!(svg, "<text x=\"{at:.1}\" y=\"{foot}\" text-anchor=\"middle\" fill=\"#555\">{percent} %</text>");
    }
    for (curve, colour) in curves.iter().zip(COLOURS.iter().flat_map(|colour| [colour, colour])) {
        let points: Vec<String> = curve.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let dash = if curve.dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"{dash}/>",
            points.join(" ")
        );
    }
    for (n, (curve, colour)) in curves.iter().step_by(2).zip(COLOURS).enumerate() {
        let (at, line) = (WIDTH - RIGHT + 14.0, TOP + 12.0 + 16.0 * n as f64);
        let _ = writeln!(svg, "<text x=\"{at}\" y=\"{line}\" fill=\"{colour}\">{}</text>", curve.name);
    }
    svg.push_str("</svg>\n");
    svg
}
