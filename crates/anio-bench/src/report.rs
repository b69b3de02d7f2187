//! What is said of a measurement: a JSON line, and a row of a table.

use serde_json::{Map, Value, json};

use crate::database::Backend;
use crate::workload::Workload;

/// One repetition.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) figure: f64,
    /// What was measured beside it; none where nothing is there to compare with.
    pub(crate) limit: Option<f64>,
    /// What else is worth knowing.
    pub(crate) details: Vec<(&'static str, f64)>,
}

impl Sample {
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.limit.map(|limit| self.figure / limit)
    }

    pub(crate) fn detail(&self, name: &str) -> f64 {
        let found = self.details.iter().find(|(other, _)| *other == name);
        found.map_or(f64::NAN, |(_, value)| *value)
    }

    fn rank(&self) -> f64 {
        self.ratio().unwrap_or(self.figure)
    }
}

/// The sample in the middle, by its ratio.
///
/// # Panics
/// Without samples.
pub(crate) fn median(samples: &mut [Sample]) -> Sample {
    samples.sort_by(|a, b| a.rank().total_cmp(&b.rank()));
    samples[samples.len() / 2].clone()
}

/// The JSON line of a measurement.
pub(crate) fn line(workload: Workload, backend: Backend, mut samples: Vec<Sample>) -> Value {
    let sample = median(&mut samples);
    let target = workload.target();
    let details: Map<String, Value> =
        sample.details.iter().map(|(name, value)| ((*name).to_owned(), rounded(*value))).collect();
    let (unit, limit_is) = workload.units();
    json!({
        "workload": workload.name(),
        "backend": workload.has_backend().then(|| backend.name()),
        "figure": rounded(sample.figure),
        "unit": unit,
        "limit": sample.limit.map(rounded),
        "limit_is": limit_is,
        "ratio": sample.ratio().map(rounded),
        "ratios": samples.iter().map(|sample| rounded(sample.rank())).collect::<Vec<_>>(),
        "target": target.as_ref().map(|target| target.words),
        "met": target.as_ref().map(|target| (target.is_met)(&sample)),
        "details": details,
    })
}

/// Four digits that count are more than the machine repeats.
fn rounded(value: f64) -> Value {
    format!("{value:.3e}").parse::<f64>().map_or(Value::Null, |value| {
        if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
    })
}

/// The lines for people.
pub(crate) fn table(lines: &[Value]) -> String {
    let text = |line: &Value, name: &str| match &line[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(met) => if *met { "yes" } else { "NO" }.to_owned(),
        value => value.to_string(),
    };
    let columns = ["workload", "backend", "figure", "unit", "limit", "ratio", "target", "met"];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    rows.extend(lines.iter().map(|line| columns.map(|name| text(line, name)).to_vec()));
    let width = |ix: usize| rows.iter().map(|row| row[ix].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let cells = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(cells).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(figure: f64, limit: f64) -> Sample {
        Sample { figure, limit: Some(limit), details: Vec::new() }
    }

    #[test]
    fn the_median_is_by_the_ratio_and_not_by_the_figure() {
        let mut samples = [sample(100.0, 100.0), sample(90.0, 300.0), sample(50.0, 100.0)];
        assert!((median(&mut samples).figure - 50.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_line_says_whether_its_target_is_met() {
        let line = line(Workload::Fan, Backend::Sqlite, vec![sample(60_000.0, 100_000.0)]);
        assert_eq!((&line["figure"], &line["ratio"]), (&json!(60_000), &json!(0.6)));
        assert_eq!(line["met"], json!(true));
        assert!(table(&[line]).contains("fan       sqlite   60000"));
    }
}
