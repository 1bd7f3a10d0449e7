//! Numbers for people.

use std::fmt::Display;

/// A whole number, with commas between thousands.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A number with three figures that say something, more in front of the point if it is large.
pub(super) fn figure(number: f64) -> String {
    match number {
        n if n >= 99.95 => whole(n.round() as u64),
        n if n >= 9.995 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

/// A time in microseconds, in the unit that suits it.
pub(super) fn time(microseconds: f64) -> String {
    match microseconds {
        us if us < 999.5 => format!("{} µs", figure(us)),
        us if us < 999_500.0 => format!("{} ms", figure(us / 1e3)),
        us => format!("{} s", figure(us / 1e6)),
    }
}

/// A number and what it counts, which has a plural of its own.
pub(super) fn counted(number: u64, [one, many]: [&str; 2]) -> String {
    format!("{} {}", whole(number), if number == 1 { one } else { many })
}

/// Sentences' parts, with commas between them.
pub(super) fn list<T: Display>(parts: &[T]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 7, 999, 1_000, 12_345, 123_456, 1_234_567].map(whole);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "123,456", "1,234,567"]);
    }

    #[test]
    fn three_figures_are_enough() {
        let shown = [0.0, 0.123, 1.0, 9.994, 9.996, 12.34, 99.94, 99.96, 1234.5].map(figure);
        assert_eq!(shown, ["0.00", "0.12", "1.00", "9.99", "10.0", "12.3", "99.9", "100", "1,235"]);
    }

    #[test]
    fn a_time_has_the_unit_that_suits_it() {
        let shown = [0.5, 86.32, 999.4, 999.6, 12_340.0, 999_400.0, 999_600.0, 61e6].map(time);
        assert_eq!(shown, ["0.50 µs", "86.3 µs", "999 µs", "1.00 ms", "12.3 ms", "999 ms", "1.00 s", "61.0 s"]);
    }

    #[test]
    fn one_is_one_and_others_are_many() {
        let shown = [0, 1, 2_000].map(|number| counted(number, ["reply", "replies"]));
        assert_eq!(shown, ["0 replies", "1 reply", "2,000 replies"]);
    }
}
