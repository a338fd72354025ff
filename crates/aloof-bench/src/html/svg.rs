//! Scales and a few drawing helpers; everything a plot needs is inline.

use std::fmt::Write;

/// A mapping of values to pixels.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

impl Scale {
    /// Linear, `low..=high` to `from..=to`.
    pub fn linear(low: f64, high: f64, from: f64, to: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Scale {
            low,
            high,
            from,
            to,
            log: false,
        }
    }

    /// Logarithmic.
    pub fn log(low: f64, high: f64, from: f64, to: f64) -> Self {
        Scale {
            log: true,
            ..Scale::linear(low, high, from, to)
        }
    }

    /// The pixel of a value; values outside are drawn at the edge.
    pub fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values to mark.
    pub fn ticks(&self) -> Vec<f64> {
        if self.log {
            let mut ticks = Vec::new();
            let mut decade = 10f64.powf(self.low.log10().floor());
            while decade <= self.high {
                let steps = [1.0, 2.0, 5.0].map(|m| m * decade);
                ticks.extend(steps.iter().filter(|t| (self.low..=self.high).contains(*t)));
                decade *= 10.0;
            }
            return ticks;
        }
        let rough = (self.high - self.low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|&s| s >= rough)
            .unwrap_or(rough);
        let mut ticks = Vec::new();
        let mut tick = (self.low / step).ceil() * step;
        while tick <= self.high {
            ticks.push(tick);
            tick += step;
        }
        ticks
    }
}

/// Text safe inside HTML and attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// A number as short as it can be told.
pub fn short(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 100.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A line of text at a place; `anchor` is start, middle or end.
pub fn label(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, text: &str) {
    let text = escape(text);
    let _ = write!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{text}</text>"
    );
}

/// A straight line.
pub fn line(out: &mut String, from: (f64, f64), to: (f64, f64), class: &str) {
    let _ = write!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" class=\"{class}\"/>",
        from.0, from.1, to.0, to.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_map_their_ends_and_clamp() {
        let scale = Scale::linear(0.0, 10.0, 100.0, 200.0);
        assert_eq!(
            (scale.at(0.0), scale.at(5.0), scale.at(99.0)),
            (100.0, 150.0, 200.0)
        );
        let scale = Scale::log(0.1, 10.0, 0.0, 100.0);
        assert!((scale.at(1.0) - 50.0).abs() < 1e-9);
        assert_eq!(scale.ticks().len(), 7);
        assert_eq!(
            Scale::linear(0.0, 4.0, 0.0, 1.0).ticks(),
            [0.0, 1.0, 2.0, 3.0, 4.0]
        );
    }

    #[test]
    fn text() {
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
        assert_eq!(
            [short(0.5), short(12.0), short(123.4), short(0.0)],
            ["0.5", "12", "123", "0"]
        );
    }
}
