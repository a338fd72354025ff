//! Numbers as people read them.

use std::time::Duration;

/// A size in binary units with three significant digits: `512 B`, `1.50 KiB`, `12.3 MiB`, `9.00 TiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    // 1023.5 would be printed as 1024 of its unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A count with a comma every three digits.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time span: `123 us`, `12.3 ms`, `1.234 s`, `2 min 03.4 s`, `3 h 05 min`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 0.000_999_5 {
        format!("{} us", (seconds * 1e6).round())
    } else if seconds < 0.999_95 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 59.9995 {
        format!("{seconds:.3} s")
    } else if seconds < 3599.95 {
        let tenths = (seconds * 10.0).round() as u64;
        format!(
            "{} min {:02}.{} s",
            tenths / 600,
            tenths % 600 / 10,
            tenths % 10
        )
    } else {
        let minutes = (seconds / 60.0).round() as u64;
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

/// `part` of `whole` in percent; a dash when there is no whole.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    format!("{:.2} %", part as f64 / whole as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_digits_and_never_show_1024_of_a_unit() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10_239, "10.0 KiB"),
            (102_399, "100 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.00 MiB"),
            (9 << 40, "9.00 TiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn counts_have_commas_every_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn durations_change_unit_without_rounding_up_to_the_next() {
        for (micros, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_000, "1.0 ms"),
            (999_900, "999.9 ms"),
            (999_960, "1.000 s"),
            (59_999_400, "59.999 s"),
            (59_999_600, "1 min 00.0 s"),
            (123_400_000, "2 min 03.4 s"),
            (3_599_960_000, "1 h 00 min"),
            (11_100_000_000, "3 h 05 min"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text, "{micros}");
        }
    }

    #[test]
    fn percent_of_nothing_is_a_dash() {
        assert_eq!(percent(5, 0), "-");
        assert_eq!(percent(1, 8), "12.50 %");
    }
}
