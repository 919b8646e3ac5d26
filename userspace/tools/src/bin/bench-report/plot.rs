//! Plots as SVG text: bars on a logarithmic scale, lines, and lanes of a trace.

use crate::figures::readable;
use std::fmt::Write;

const WIDTH: f64 = 760.0;
/// A palette that also reads without colour vision and in grey (Okabe and Ito's, darkest tones first).
const COLOURS: [&str; 5] = ["#9aa5b1", "#d55e00", "#0072b2", "#009e73", "#cc79a7"];
const GRID: &str = "stroke='#e3e3e3'";
const AXIS: &str = "stroke='#555'";

/// An SVG under construction.
pub struct Drawing {
    svg: String,
}

impl Drawing {
    pub fn new(height: f64) -> Self {
        Self {
            svg: format!(
                "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height:.0}' \
                 viewBox='0 0 {WIDTH} {height:.0}' font-family='Helvetica, Arial, sans-serif' font-size='12' \
                 fill='#222'>\n<rect width='100%' height='100%' fill='white'/>\n"
            ),
        }
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(self.svg, "<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' {style}/>");
    }

    pub fn bar(&mut self, corner: (f64, f64), size: (f64, f64), style: &str) {
        let ((x, y), (width, height)) = (corner, size);
        let _ = writeln!(
            self.svg,
            "<rect x='{x:.2}' y='{y:.1}' width='{width:.2}' height='{height:.1}' {style}/>"
        );
    }

    pub fn text(&mut self, x: f64, y: f64, anchor: &str, content: &str) {
        let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(self.svg, "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}'>{content}</text>");
    }

    /// Text that reads upwards.
    fn upright(&mut self, x: f64, y: f64, content: &str) {
        let _ = writeln!(
            self.svg,
            "<text x='{x:.1}' y='{y:.1}' text-anchor='middle' transform='rotate(-90 {x:.1} {y:.1})'>{content}</text>"
        );
    }

    /// Names and their colours in one row at the top.
    pub fn legend(&mut self, left: f64, entries: &[(&str, &str)]) {
        let mut x = left;
        for (name, colour) in entries {
            self.bar((x, 8.0), (12.0, 12.0), &format!("fill='{colour}'"));
            self.text(x + 17.0, 18.0, "start", name);
            x += 40.0 + 6.6 * name.len() as f64;
        }
    }

    pub fn done(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

/// Horizontal bars on a logarithmic scale: a group per row, a bar per name in `series`, and, if the row has one, a
/// diamond at its mark, which `mark` names.
pub fn bars(unit: &str, series: &[&str], mark: Option<&str>, rows: &[Row]) -> String {
    const BAR: f64 = 11.0;
    let values = || rows.iter().flat_map(|row| row.values.iter().chain([&row.mark])).flatten().copied();
    let low = 10_f64.powf(values().fold(f64::MAX, f64::min).log10().floor());
    let high = 10_f64.powf(values().fold(0.0, f64::max).log10().ceil()).max(low * 10.0);
    let longest = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let (left, right, top) = (16.0 + 6.6 * longest as f64, WIDTH - 75.0, 34.0);
    let place = |value: f64| left + (value / low).log10() / (high / low).log10() * (right - left);
    let group = BAR * series.len() as f64 + 8.0;
    let bottom = top + group * rows.len() as f64 + 4.0;
    let mut drawing = Drawing::new(bottom + 40.0);
    let mut tick = low;
    while tick <= high * 1.01 {
        let x = place(tick);
        for part in 2..10 {
            let minor = place(tick * f64::from(part));
            if minor < right {
                drawing.line((minor, bottom), (minor, bottom + 3.0), AXIS);
            }
        }
        drawing.line((x, top), (x, bottom), GRID);
        drawing.line((x, bottom), (x, bottom + 6.0), AXIS);
        drawing.text(x, bottom + 18.0, "middle", &power(tick));
        tick *= 10.0;
    }
    drawing.line((left, bottom), (right, bottom), AXIS);
    drawing.text(f64::midpoint(left, right), bottom + 34.0, "middle", unit);
    let mut names: Vec<(&str, &str)> = series.iter().copied().zip(COLOURS).collect();
    names.extend(mark.map(|mark| (mark, "#222")));
    drawing.legend(left, &names);
    for (index, row) in rows.iter().enumerate() {
        let y = top + 4.0 + group * index as f64;
        drawing.text(left - 8.0, y + group / 2.0, "end", &row.name);
        for (bar, value) in row.values.iter().enumerate() {
            let Some(value) = value else { continue };
            let y = y + BAR * bar as f64;
            drawing.bar((left, y), (place(*value) - left, BAR - 1.0), &format!("fill='{}'", COLOURS[bar]));
            // Past the diamond, if that would be in the way.
            let mut end = place(*value);
            if let Some(mark) = row.mark.map(place).filter(|_| bar + 1 == series.len())
                && (end - 6.0..end + 50.0).contains(&mark)
            {
                end = mark;
            }
            drawing.text(end + 7.0, y + BAR - 1.5, "start", &readable(*value));
        }
        if let Some(mark) = row.mark {
            let (x, y) = (place(mark), y + BAR * (series.len() as f64 - 0.5));
            let points = [(x - 4.0, y), (x, y - 6.0), (x + 4.0, y), (x, y + 6.0)];
            let points: String = points.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
            let _ = writeln!(drawing.svg, "<polygon points='{points}' fill='#222' stroke='white'/>");
        }
    }
    drawing.done()
}

/// A row of [`bars`].
pub struct Row {
    pub name: String,
    /// One for each series; missing values have no bar.
    pub values: Vec<Option<f64>>,
    pub mark: Option<f64>,
}

/// A curve: its name, and the y value for each x, where there is one.
pub type Line<'a> = (&'a str, Vec<Option<f64>>);

/// How the y axis goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    /// By powers of two, from 1.
    Doubling,
}

/// Curves over the same named places of the x axis.
pub fn lines(axes: (&str, &str), scale: Scale, x_names: &[String], series: &[Line]) -> String {
    let values = series.iter().flat_map(|(_, values)| values.iter().flatten().copied());
    let most = values.fold(0.0, f64::max);
    let (left, right, top, bottom) = (64.0, WIDTH - 110.0, 34.0, 330.0);
    let high = match scale {
        Scale::Linear => (most * 1.1 * 4.0).ceil() / 4.0,
        Scale::Doubling => most.log2().ceil().exp2(),
    };
    let across = |index: usize| left + (right - left) * (index as f64 + 0.5) / x_names.len() as f64;
    let up = |value: f64| {
        let part = match scale {
            Scale::Linear => value / high,
            Scale::Doubling => value.max(1.0).log2() / high.log2(),
        };
        bottom - (bottom - top) * part
    };
    let ticks: Vec<f64> = match scale {
        Scale::Linear => (0..=4).map(|step| high * f64::from(step) / 4.0).collect(),
        Scale::Doubling => (0..=high.log2() as i32).map(|power| 2_f64.powi(power)).collect(),
    };
    let mut drawing = Drawing::new(bottom + 56.0);
    for value in ticks {
        drawing.line((left, up(value)), (right, up(value)), GRID);
        let name = if scale == Scale::Linear { format!("{value:.2}") } else { format!("{value}") };
        drawing.text(left - 8.0, up(value) + 4.0, "end", &name);
    }
    drawing.line((left, bottom), (right, bottom), AXIS);
    drawing.line((left, top), (left, bottom), AXIS);
    for (index, name) in x_names.iter().enumerate() {
        drawing.line((across(index), bottom), (across(index), bottom + 5.0), AXIS);
        drawing.text(across(index), bottom + 20.0, "middle", name);
    }
    drawing.text(f64::midpoint(left, right), bottom + 42.0, "middle", axes.0);
    drawing.upright(18.0, f64::midpoint(top, bottom), axes.1);
    let names: Vec<(&str, &str)> = series.iter().map(|(name, _)| *name).zip(COLOURS).collect();
    drawing.legend(left, &names);
    for ((_, values), colour) in series.iter().zip(COLOURS) {
        let points = values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| Some((across(index), up((*value)?), (*value)?)));
        let points: Vec<(f64, f64, f64)> = points.collect();
        let path: String = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1} ")).collect();
        let _ = writeln!(
            drawing.svg,
            "<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>"
        );
        for (x, y, _) in &points {
            let _ = writeln!(drawing.svg, "<circle cx='{x:.1}' cy='{y:.1}' r='3.5' fill='{colour}'/>");
        }
        // What the curve comes to is what people look for.
        if let Some((x, y, value)) = points.last() {
            drawing.text(x + 9.0, y + 4.0, "start", &format!("{value:.2}"));
        }
    }
    drawing.done()
}

/// A power of ten in few characters.
fn power(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.0} G", v / 1e9),
        v if v >= 1e6 => format!("{:.0} M", v / 1e6),
        v if v >= 1e3 => format!("{:.0} k", v / 1e3),
        v => format!("{v}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_bar_and_every_mark_its_diamond() {
        let row = |name: &str, values, mark| Row { name: name.into(), values, mark };
        let rows = [
            row("a < b", vec![Some(10.0), Some(1000.0)], Some(100.0)),
            row("c", vec![None, Some(5.0)], None),
        ];
        let svg = bars("unit", &["x", "y"], Some("goal"), &rows);
        assert_eq!(svg.matches("height='10.0'").count(), 3, "three bars");
        assert_eq!(svg.matches("height='12.0'").count(), 3, "three legend entries");
        assert_eq!(svg.matches("<polygon").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_missing_point_is_left_out() {
        let names = ["1".to_owned(), "2".to_owned()];
        let svg = lines(("x", "y"), Scale::Linear, &names, &[("x", vec![Some(1.0), None])]);
        assert_eq!(svg.matches("<circle").count(), 1);
    }
}
