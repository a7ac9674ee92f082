//! Sizes and times as people write them: `64KiB`, `25s`. Knows nothing of limits.

/// What a number measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// Things, which are counted.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Days.
    Days,
}

/// Units of a measure, the largest first, each with what it holds of the measure's own unit.
type Units = &'static [(&'static str, u64)];

const BYTES: Units = &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const MILLISECONDS: Units = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
const DAYS: Units = &[("d", 1)];

/// More digits behind the point are of no unit here a whole number.
const DECIMALS_MAX: usize = 15;

impl Measure {
    /// By the words in which a table names the unit.
    pub(super) fn of(unit: &str) -> Self {
        match unit.split([',', ' ']).next() {
            Some("bytes") => Self::Bytes,
            Some("ms") => Self::Milliseconds,
            Some("days") => Self::Days,
            _ => Self::Count,
        }
    }

    fn units(self) -> Units {
        match self {
            Self::Count => &[],
            Self::Bytes => BYTES,
            Self::Milliseconds => MILLISECONDS,
            Self::Days => DAYS,
        }
    }

    /// Reads a number, which may have a unit. An error may hint at what was meant.
    pub(super) fn read(self, text: &str) -> Result<u64, Option<String>> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '_' | '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end).ok_or(None)?;
        let (number, unit) = (number.replace('_', ""), unit.trim_start());
        if unit.is_empty() {
            return number.parse().map_err(|_| None);
        }
        match self.units().iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => times(&number, *factor).ok_or(None),
            None => Err(self.hint(&number, unit)),
        }
    }

    /// What was probably meant by a unit that there is not.
    fn hint(self, number: &str, unit: &str) -> Option<String> {
        let lower = unit.to_ascii_lowercase();
        match (self, lower.as_str()) {
            (Self::Bytes, "k" | "kb" | "m" | "mb" | "g" | "gb" | "t" | "tb") => {
                let prefix = lower.chars().next()?.to_ascii_uppercase();
                let decimal = match prefix {
                    'K' => 1_000,
                    'M' => 1_000_000,
                    'G' => 1_000_000_000,
                    _ => 1_000_000_000_000,
                };
                let plain = times(number, decimal).map(|plain| format!(" or {plain}")).unwrap_or_default();
                Some(format!("write \"{number}{prefix}iB\"{plain}"))
            }
            (Self::Milliseconds, "m") => Some(format!("write \"{number}min\" or \"{number}ms\"")),
            (Self::Milliseconds, "sec" | "secs" | "second" | "seconds") => Some(format!("write \"{number}s\"")),
            (Self::Milliseconds, "mins" | "minute" | "minutes") => Some(format!("write \"{number}min\"")),
            (Self::Milliseconds, "hour" | "hours" | "hr") => Some(format!("write \"{number}h\"")),
            (Self::Milliseconds | Self::Days, "day" | "days") => Some(format!("write \"{number}d\"")),
            _ => {
                let (name, _) = self.units().iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
                Some(format!("write \"{number}{name}\""))
            }
        }
    }

    /// A value in the largest unit of which it is a whole number; a count with separators.
    pub(super) fn show(self, value: u64) -> String {
        if value == 0 {
            return "0".to_owned();
        }
        match self.units().iter().find(|(_, factor)| value.is_multiple_of(*factor)) {
            Some((name, factor)) => format!("{}{name}", value / factor),
            None => grouped(value),
        }
    }

    /// The same as a value of TOML.
    pub(super) fn toml(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            _ if value == 0 => "0".to_owned(),
            _ => format!("\"{}\"", self.show(value)),
        }
    }
}

/// A decimal number times a factor, if the result is a whole number that fits.
fn times(number: &str, factor: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > DECIMALS_MAX {
        return None;
    }
    let part = decimals.parse::<u128>().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let scaled = part.checked_mul(u128::from(factor))?;
    let rest = scaled.is_multiple_of(scale).then_some(scaled / scale)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(u128::from(factor))?;
    u64::try_from(whole.checked_add(rest)?).ok()
}

/// A number with thousands separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use ondol_inputs::holds;
    use ondol_inputs::proptest::prelude::*;
    use ondol_inputs::proptest::sample::select;

    use super::Measure::{Bytes, Count, Days, Milliseconds};

    #[test]
    fn sizes_and_times_have_units() {
        for (measure, text, value) in [
            (Bytes, "512B", 512),
            (Bytes, "64KiB", 65_536),
            (Bytes, "1.5GiB", 1_610_612_736),
            (Bytes, " 32 MiB ", 33_554_432),
            (Bytes, "65_536", 65_536),
            (Milliseconds, "500ms", 500),
            (Milliseconds, "25s", 25_000),
            (Milliseconds, "1.5s", 1_500),
            (Milliseconds, "0.50s", 500),
            (Milliseconds, "2min", 120_000),
            (Milliseconds, "1h", 3_600_000),
            (Milliseconds, "1d", 86_400_000),
            (Milliseconds, "1.0s", 1_000),
            (Days, "30d", 30),
            (Count, "1_000", 1_000),
        ] {
            assert_eq!(measure.read(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn other_units_are_refused_with_a_hint() {
        for (measure, text, hint) in [
            (Bytes, "64KB", Some("write \"64KiB\" or 64000")),
            (Bytes, "1.5m", Some("write \"1.5MiB\" or 1500000")),
            (Bytes, "64kib", Some("write \"64KiB\"")),
            (Bytes, "64s", None),
            (Bytes, "0.3B", None),
            (Bytes, "18446744073709551616B", None),
            (Bytes, "18014398509481984KiB", None),
            (Milliseconds, "5m", Some("write \"5min\" or \"5ms\"")),
            (Milliseconds, "5 seconds", Some("write \"5s\"")),
            (Milliseconds, "1.0001s", None),
            (Milliseconds, ".5s", None),
            (Milliseconds, "1.2.3s", None),
            (Milliseconds, "-1s", None),
            (Milliseconds, "1.s", None),
            (Days, "30 days", Some("write \"30d\"")),
            (Days, "1.5d", None),
            (Count, "3s", None),
            (Count, "", None),
        ] {
            assert_eq!(measure.read(text), Err(hint.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn a_value_is_shown_in_its_largest_whole_unit() {
        let shown = [(Bytes, 65_536), (Bytes, 65_534), (Bytes, 0), (Milliseconds, 75_000), (Milliseconds, 60_000)];
        assert_eq!(shown.map(|(measure, value)| measure.show(value)), ["64KiB", "65534B", "0", "75s", "1min"]);
        assert_eq!((Days.show(30), Count.show(16_384)), ("30d".to_owned(), "16,384".to_owned()));
    }

    #[test]
    fn a_value_is_read_as_it_is_shown() {
        let value = prop_oneof![any::<u64>(), 0..100_u64, (0..1_u64 << 30).prop_map(|value| value << 10)];
        holds([], (select(vec![Bytes, Milliseconds, Days]), value), |(measure, value)| {
            prop_assert_eq!(measure.read(&measure.show(value)), Ok(value));
            prop_assert_eq!(measure.read(&value.to_string()), Ok(value));
            Ok(())
        });
    }

    #[test]
    fn a_fraction_is_exact_or_refused() {
        let given = (select(vec![Bytes, Milliseconds]), 0..10_000_u64, 0..1_000_u64, 0..5_usize);
        holds([], given, |(measure, whole, thousandths, unit)| {
            let (name, factor) = *measure.units().get(unit).unwrap();
            let scaled = u128::from(whole * 1_000 + thousandths) * u128::from(factor);
            let expected = scaled.is_multiple_of(1_000).then(|| u64::try_from(scaled / 1_000).unwrap());
            prop_assert_eq!(measure.read(&format!("{whole}.{thousandths:03}{name}")).ok(), expected);
            Ok(())
        });
    }

    #[test]
    fn nothing_is_too_odd_to_be_refused() {
        holds([], (select(vec![Bytes, Milliseconds, Days, Count]), ondol_inputs::text()), |(measure, text)| {
            let _ = measure.read(&text);
            Ok(())
        });
    }
}
