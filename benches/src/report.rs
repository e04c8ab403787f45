//! What was measured, and the page that tells it.

use crate::facts::Facts;
use std::fmt::Write;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aim {
    AtLeast(f64),
    AtMost(f64),
    /// Told for comparison only.
    None,
}

#[derive(Debug, Clone)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    /// After the number; empty for a ratio.
    pub unit: &'static str,
    pub aim: Aim,
}

impl Figure {
    pub fn ratio(name: impl Into<String>, value: f64, aim: Aim) -> Self {
        Self {
            name: name.into(),
            value,
            unit: "",
            aim,
        }
    }

    /// How far beyond the aim, as a factor: 1 and more is reached.
    pub fn score(&self) -> Option<f64> {
        match self.aim {
            Aim::AtLeast(aim) => Some(self.value / aim),
            Aim::AtMost(aim) => Some(aim / self.value),
            Aim::None => None,
        }
    }

    pub fn aim_text(&self) -> String {
        match self.aim {
            Aim::AtLeast(aim) => format!("≥ {}{}", number(aim), self.unit),
            Aim::AtMost(aim) => format!("≤ {}{}", number(aim), self.unit),
            Aim::None => "–".to_owned(),
        }
    }

    pub fn value_text(&self) -> String {
        format!("{}{}", number(self.value), self.unit)
    }

    fn verdict(&self) -> String {
        match self.score() {
            None => "–".to_owned(),
            Some(score) if score >= 1.0 => "reached".to_owned(),
            Some(score) => format!("missed: {:.0} % of it", score * 100.0),
        }
    }
}

/// Three significant digits, or all digits before the point.
pub fn number(value: f64) -> String {
    if value >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        return text;
    }
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    let trimmed = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    trimmed.to_owned()
}

/// One group of measurements.
#[derive(Debug, Clone)]
pub struct Section {
    pub title: &'static str,
    /// What was done.
    pub method: String,
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    pub figures: Vec<Figure>,
}

/// What stands below this line is written by people and kept.
const NOTES: &str = "<!-- Below: notes, kept when this page is written anew. -->";

/// The page. `before`: what it said last.
pub fn page(facts: &Facts, sections: &[Section], before: Option<&str>) -> String {
    let mut text = String::from(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench`. Where there is a ceiling, it was measured in the same run and taking turns with what it is compared to; \
         medians of several rounds, the least and the most behind them in brackets.\n\n",
    );
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for (name, value) in facts.lines() {
        line(format!("- {name}: {value}"));
    }
    line(String::new());
    line("![Each figure against its aim](benchmarks.svg)\n".to_owned());
    line("| figure | measured | aim | |\n|---|---|---|---|".to_owned());
    for figure in sections.iter().flat_map(|section| &section.figures) {
        let (name, value, aim, verdict) = (&figure.name, figure.value_text(), figure.aim_text(), figure.verdict());
        line(format!("| {name} | {value} | {aim} | {verdict} |"));
    }
    for section in sections {
        line(format!("\n## {}\n\n{}\n", section.title, section.method));
        line(format!("| {} |", section.head.join(" | ")));
        line(format!("|{}", "---|".repeat(section.head.len())));
        for row in &section.rows {
            line(format!("| {} |", row.join(" | ")));
        }
    }
    let notes = before.and_then(|before| before.split_once(NOTES)).map_or("\n", |(_, notes)| notes);
    // Writing into a string does not fail.
    let _written = write!(text, "\n{NOTES}{notes}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown: Vec<String> = [0.604, 0.6, 12.34, 123.4, 1234.5, 1_234_567.0].map(number).to_vec();
        assert_eq!(shown, ["0.6", "0.6", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn a_figure_says_by_how_much_it_misses_its_aim() {
        let figure = |value, aim| Figure::ratio("x", value, aim);
        assert_eq!(figure(0.3, Aim::AtLeast(0.6)).verdict(), "missed: 50 % of it");
        assert_eq!(figure(2.6, Aim::AtMost(1.3)).verdict(), "missed: 50 % of it");
        assert_eq!(figure(1.3, Aim::AtMost(1.3)).verdict(), "reached");
        assert_eq!(figure(1.3, Aim::None).verdict(), "–");
    }
}
