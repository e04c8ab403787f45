//! The figures as a picture: each as a multiple of its aim, so that all can stand side by side.

use crate::report::Figure;
use anyhow::{Result, anyhow};
use plotters::prelude::*;
use std::path::Path;

const ROW: u32 = 30;
const WIDTH: u32 = 900;
const REACHED: RGBColor = RGBColor(46, 125, 50);
const MISSED: RGBColor = RGBColor(198, 40, 40);

/// Draws a bar for every figure that has an aim, on a scale of powers of ten; the line is the aim.
pub fn draw(path: &Path, figures: &[&Figure]) -> Result<()> {
    let bars: Vec<(&Figure, f64)> = figures.iter().filter_map(|figure| Some((*figure, figure.score()?))).collect();
    let rows = u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (WIDTH, 90 + ROW * rows)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("the chart could not be drawn: {error}");
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let most = bars.iter().map(|(_, score)| *score).fold(2.0, f64::max) * 3.0;
    let least = bars.iter().map(|(_, score)| *score).fold(0.5, f64::min) / 1.5;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Figures as multiples of their aims (right of the line: reached)",
            ("sans-serif", 16),
        )
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(360)
        .build_cartesian_2d((least..most).log_scale(), 0.0..f64::from(rows))
        .map_err(|error| failed(&error))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|value| format!("{value}"))
        .draw()
        .map_err(|error| failed(&error))?;
    for (at, (_, score)) in bars.iter().enumerate() {
        let bottom = f64::from(rows) - at as f64 - 0.85;
        let colour = if *score >= 1.0 { REACHED } else { MISSED };
        let bar = Rectangle::new([(1.0, bottom), (*score, bottom + 0.7)], colour.filled());
        chart.draw_series([bar]).map_err(|error| failed(&error))?;
    }
    let line = PathElement::new([(1.0, 0.0), (1.0, f64::from(rows))], BLACK.stroke_width(2));
    chart.draw_series([line]).map_err(|error| failed(&error))?;
    for (at, (figure, score)) in bars.iter().enumerate() {
        let middle = f64::from(rows) - at as f64 - 0.35;
        let (x, y) = chart.backend_coord(&(score.max(1.0), middle));
        let style = ("sans-serif", 13).into_font().color(&BLACK);
        let text = format!("{} (aim {})", figure.value_text(), figure.aim_text());
        area.draw(&Text::new(text, (x + 6, y - 1), style.clone()))
            .map_err(|error| failed(&error))?;
        area.draw(&Text::new(figure.name.clone(), (12, y - 1), style))
            .map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}
