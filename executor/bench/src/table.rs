//! Tables of samples: rows are operations, columns are contestants.

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    columns: Vec<&'static str>,
}

struct Row {
    name: String,
    high_is_good: bool,
    cells: Vec<(&'static str, Vec<f64>)>,
}

impl Row {
    fn sorted(&self, column: &str) -> Option<Vec<f64>> {
        let (_, samples) = self.cells.iter().find(|(name, _)| *name == column)?;
        let mut samples = samples.clone();
        samples.sort_by(f64::total_cmp);
        Some(samples)
    }

    fn median(&self, column: &str) -> Option<f64> {
        self.sorted(column).map(|samples| samples[samples.len() / 2])
    }

    fn best(&self, column: &str) -> Option<f64> {
        self.sorted(column).map(|samples| samples[if self.high_is_good { samples.len() - 1 } else { 0 }])
    }
}

impl Table {
    pub fn add(&mut self, row: &str, column: &'static str, sample: f64) {
        self.sample(row, column, sample, false);
    }

    pub fn add_best_high(&mut self, row: &str, column: &'static str, sample: f64) {
        self.sample(row, column, sample, true);
    }

    fn sample(&mut self, row: &str, column: &'static str, sample: f64, high_is_good: bool) {
        if !self.columns.contains(&column) {
            self.columns.push(column);
        }
        let index = self.rows.iter().position(|r| r.name == row).unwrap_or_else(|| {
            self.rows.push(Row { name: row.into(), high_is_good, cells: Vec::new() });
            self.rows.len() - 1
        });
        let cells = &mut self.rows[index].cells;
        match cells.iter_mut().find(|(name, _)| *name == column) {
            Some((_, samples)) => samples.push(sample),
            None => cells.push((column, vec![sample])),
        }
    }

    /// As Markdown, with a last column that sets the first contestant against the best of the others.
    pub fn print(&self, title: &str) {
        println!("## {title}\n\n| | {} | ratio |", self.columns.join(" | "));
        println!("|---|{}---:|", "---:|".repeat(self.columns.len()));
        for row in &self.rows {
            print!("| {} |", row.name);
            for column in &self.columns {
                match (row.median(column), row.best(column)) {
                    (Some(median), Some(best)) if median == best => print!(" {} |", short(median)),
                    (Some(median), Some(best)) => print!(" {} ({}) |", short(median), short(best)),
                    _ => print!(" - |"),
                }
            }
            let peers = self.columns[1..].iter().filter_map(|column| row.median(column));
            let best = if row.high_is_good { peers.reduce(f64::max) } else { peers.reduce(f64::min) };
            match (row.median(self.columns[0]), best) {
                (Some(ours), Some(best)) => println!(" {:.2} |", ours / best),
                _ => println!(" - |"),
            }
        }
        println!();
    }
}

fn short(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
