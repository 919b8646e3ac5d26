//! The figures of `results.tsv`.

/// One line: section, kernel, setting, name, value, unit.
struct Figure {
    key: [String; 4],
    value: f64,
    unit: String,
}

/// All figures. A figure measured in several rounds stands there several times.
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Reads the lines; what is no figure is skipped.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [section, kernel, setting, name, value, unit] = fields[..] else { return None };
            Some(Figure {
                key: [section, kernel, setting, name].map(str::to_owned),
                value: value.parse().ok()?,
                unit: unit.to_owned(),
            })
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn all(&self, key: [&str; 4]) -> impl Iterator<Item = &Figure> {
        self.0.iter().filter(move |figure| figure.key == key)
    }

    /// The least of a figure over its rounds: the one that was disturbed least. Exact figures have one round.
    pub fn get(&self, section: &str, kernel: &str, setting: &str, name: &str) -> Option<f64> {
        self.all([section, kernel, setting, name]).map(|figure| figure.value).min_by(f64::total_cmp)
    }

    /// What stands in the place of the unit.
    pub fn unit(&self, section: &str, kernel: &str, setting: &str, name: &str) -> Option<&str> {
        self.all([section, kernel, setting, name]).next().map(|figure| figure.unit.as_str())
    }

    /// How often a figure was measured.
    pub fn rounds(&self, section: &str, kernel: &str, setting: &str, name: &str) -> usize {
        self.all([section, kernel, setting, name]).count()
    }

    /// The figures of a setting whose names begin with `prefix`: the rest of the name, and the value.
    pub fn prefixed<'a>(&'a self, section: &str, setting: &str, prefix: &str) -> Vec<(&'a str, f64)> {
        let of_setting = self.0.iter().filter(|figure| figure.key[0] == section && figure.key[2] == setting);
        of_setting.filter_map(|figure| Some((figure.key[3].strip_prefix(prefix)?, figure.value))).collect()
    }

    /// The different settings of a section, in the order of their first figure.
    pub fn settings(&self, section: &str) -> Vec<&str> {
        let mut settings: Vec<&str> = Vec::new();
        for figure in self.0.iter().filter(|figure| figure.key[0] == section) {
            if !settings.contains(&figure.key[2].as_str()) {
                settings.push(&figure.key[2]);
            }
        }
        settings
    }
}

/// A number as people read it: four digits that mean something, thousands set apart.
pub fn readable(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A figure, or a dash.
pub fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), readable)
}

/// How many times larger `first` is than `second`.
pub fn ratio(first: Option<f64>, second: Option<f64>) -> String {
    match (first, second) {
        (Some(first), Some(second)) if second > 0.0 => format!("{:.2}", first / second),
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_rounds_counts() {
        let figures =
            Figures::parse("s\tk\t1\tn\t30\tns\ns\tk\t1\tn\t10\tns\ns\tk\t1\tn\t20\tns\nnot a line\n");
        assert_eq!(figures.get("s", "k", "1", "n"), Some(10.0));
        assert_eq!(figures.rounds("s", "k", "1", "n"), 3);
        assert_eq!(figures.unit("s", "k", "1", "n"), Some("ns"));
        assert_eq!(figures.prefixed("s", "1", ""), [("n", 30.0), ("n", 10.0), ("n", 20.0)]);
        assert_eq!(figures.get("s", "k", "2", "n"), None);
        assert_eq!(figures.settings("s"), ["1"]);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(readable(99.94), "99.9");
        assert_eq!(readable(1_234_567.8), "1,234,568");
        assert_eq!(readable(-1234.0), "-1,234");
        assert_eq!(ratio(Some(3.0), Some(2.0)), "1.50");
        assert_eq!(ratio(Some(3.0), None), "-");
    }
}
