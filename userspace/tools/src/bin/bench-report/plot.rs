//! Plots as SVG text: bars on a logarithmic scale, and lines.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
/// A palette that also reads without colour vision.
const COLOURS: [&str; 4] = ["#9aa7b5", "#c8571b", "#3b6ea5", "#6b8f3c"];
const STYLE: &str = "font-family='sans-serif' font-size='13' fill='#222'";

/// Horizontal bars, one group per row of `rows`, one bar per name in `series`; missing values have no bar.
pub fn bars(title: &str, series: &[&str], rows: &[(String, Vec<Option<f64>>)]) -> String {
    let values = || rows.iter().flat_map(|(_, values)| values.iter().flatten().copied());
    let low = 10_f64.powf(values().fold(f64::MAX, f64::min).log10().floor());
    let high = 10_f64.powf(values().fold(0.0, f64::max).log10().ceil()).max(low * 10.0);
    let (left, right) = (300.0, WIDTH - 90.0);
    let place = |value: f64| left + (value / low).log10() / (high / low).log10() * (right - left);
    let group = 14.0 * series.len() as f64 + 8.0;
    let height = 70.0 + group * rows.len() as f64 + 20.0;
    let mut svg = start(title, height);
    let mut tick = low;
    while tick <= high * 1.01 {
        let x = place(tick);
        let bottom = height - 20.0;
        let _ = write!(svg, "<line x1='{x:.1}' y1='58' x2='{x:.1}' y2='{bottom:.1}' stroke='#ddd'/>");
        text(&mut svg, x, height - 6.0, "middle", &power(tick));
        tick *= 10.0;
    }
    legend(&mut svg, series);
    for (row, (name, values)) in rows.iter().enumerate() {
        let top = 62.0 + group * row as f64;
        text(&mut svg, left - 8.0, top + group / 2.0 + 2.0, "end", name);
        for (bar, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let (y, width) = (top + 14.0 * bar as f64, place(*value) - left);
            let colour = COLOURS[bar % COLOURS.len()];
            let _ =
                write!(svg, "<rect x='{left}' y='{y:.1}' width='{width:.1}' height='12' fill='{colour}'/>");
            text(&mut svg, left + width + 4.0, y + 11.0, "start", &crate::figures::readable(*value));
        }
    }
    svg + "</svg>\n"
}

/// One line of a plot: its name, and the y value for each x, where there is one.
pub type Line<'a> = (&'a str, Vec<Option<f64>>);

/// Lines over the same named places of the x axis, the y axis starting at 0.
pub fn lines(title: &str, x_names: &[String], series: &[Line]) -> String {
    let values = series.iter().flat_map(|(_, values)| values.iter().flatten().copied());
    let high = values.fold(0.0, f64::max) * 1.1;
    let (left, right, top, bottom) = (70.0, WIDTH - 30.0, 70.0, 380.0);
    let across = |index: usize| left + (right - left) * (index as f64 + 0.5) / x_names.len() as f64;
    let up = |value: f64| bottom - (bottom - top) * value / high;
    let mut svg = start(title, 420.0);
    for step in 0..=4 {
        let value = high * f64::from(step) / 4.0;
        let y = up(value);
        let _ = write!(svg, "<line x1='{left}' y1='{y:.1}' x2='{right}' y2='{y:.1}' stroke='#ddd'/>");
        text(&mut svg, left - 8.0, y + 4.0, "end", &format!("{value:.1}"));
    }
    for (index, name) in x_names.iter().enumerate() {
        text(&mut svg, across(index), bottom + 22.0, "middle", name);
    }
    let names: Vec<&str> = series.iter().map(|(name, _)| *name).collect();
    legend(&mut svg, &names);
    for (line, (_, values)) in series.iter().enumerate() {
        let colour = COLOURS[line % COLOURS.len()];
        let points =
            values.iter().enumerate().filter_map(|(index, value)| Some((across(index), up((*value)?))));
        let points: Vec<(f64, f64)> = points.collect();
        let path: String = points.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        let _ = write!(svg, "<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2.5'/>");
        for (x, y) in points {
            let _ = write!(svg, "<circle cx='{x:.1}' cy='{y:.1}' r='4' fill='{colour}'/>");
        }
    }
    svg + "</svg>\n"
}

fn start(title: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'>\
         <rect width='100%' height='100%' fill='white'/>"
    );
    let _ = write!(svg, "<text x='12' y='24' {STYLE} font-weight='bold'>{}</text>", escaped(title));
    svg
}

fn legend(svg: &mut String, names: &[&str]) {
    for (index, name) in names.iter().enumerate() {
        let x = 12.0 + 170.0 * index as f64;
        let colour = COLOURS[index % COLOURS.len()];
        let _ = write!(svg, "<rect x='{x}' y='36' width='12' height='12' fill='{colour}'/>");
        text(svg, x + 18.0, 47.0, "start", name);
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = escaped(content);
    let _ = write!(svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' {STYLE}>{content}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A power of ten in few characters.
fn power(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.0} G", v / 1e9),
        v if v >= 1e6 => format!("{:.0} M", v / 1e6),
        v if v >= 1e3 => format!("{:.0} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_bar() {
        let rows =
            [("a < b".to_owned(), vec![Some(10.0), Some(1000.0)]), ("c".to_owned(), vec![None, Some(5.0)])];
        let svg = bars("title", &["x", "y"], &rows);
        assert_eq!(svg.matches("height='12'").count(), 3 + 2, "three bars, two legend entries");
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_missing_point_is_left_out() {
        let names = ["1".to_owned(), "2".to_owned()];
        let svg = lines("title", &names, &[("x", vec![Some(1.0), None])]);
        assert_eq!(svg.matches("<circle").count(), 1);
    }
}
