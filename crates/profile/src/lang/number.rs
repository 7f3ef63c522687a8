//! Numbers by value, with all their digits.

use serde_json::{Number, Value};
use std::cmp::Ordering;

/// `0.digits × 10^point`, digits without zeros at either end; zero has none.
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Decimal {
    /// Reads the JSON spelling of a number.
    fn read(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let mut digits: Vec<u8> = all.into_iter().skip(zeros).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let shift = i64::try_from(whole.len())
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(zeros).unwrap_or(i64::MAX));
        Self {
            negative: negative && !digits.is_empty(),
            point: shift.saturating_add(exponent_of(exponent)),
            digits,
        }
    }

    fn cmp_size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => (self.point, &self.digits).cmp(&(other.point, &other.digits)),
        }
    }
}

/// An exponent too long for us is as large as it gets.
fn exponent_of(text: &str) -> i64 {
    let bound = if text.starts_with('-') {
        i64::MIN / 2
    } else {
        i64::MAX / 2
    };
    text.parse().unwrap_or(bound)
}

/// Compares two numbers by value: 4 and 4.0 are equal.
#[must_use]
pub fn compare(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return a.cmp(&b);
    }
    let (a, b) = (Decimal::read(&a.to_string()), Decimal::read(&b.to_string()));
    match (a.negative, b.negative) {
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (true, true) => b.cmp_size(&a),
        (false, false) => a.cmp_size(&b),
    }
}

/// Whether two values are the same: numbers by value, objects whatever their order.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Ordering::Equal,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Compares as `states` and `errors` do: a word whatever its case, a number by
/// its value, and no conversion of types. `have` is the answer's.
#[must_use]
pub fn is_word(want: &Value, have: &Value) -> bool {
    match (want, have) {
        (Value::String(want), Value::String(have)) => {
            want.to_lowercase() == have.trim().to_lowercase()
        }
        _ => same(want, have),
    }
}

/// The two-number helpers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// `mantissa / 10^scale`: exact arithmetic as long as it fits.
#[derive(Clone, Copy)]
struct Exact {
    mantissa: i128,
    scale: u32,
}

/// Digits that an exact number may have, with room for a product.
const EXACT_DIGITS: usize = 36;

impl Exact {
    fn read(number: &Number) -> Option<Self> {
        let decimal = Decimal::read(&number.to_string());
        let len = i64::try_from(decimal.digits.len()).ok()?;
        let (scale, pad) = match decimal.point.checked_sub(len)? {
            spare if spare >= 0 => (0, spare),
            missing => (missing.checked_neg()?, 0),
        };
        let (scale, pad) = (u32::try_from(scale).ok()?, u32::try_from(pad).ok()?);
        let wide = decimal
            .digits
            .len()
            .checked_add(usize::try_from(pad).ok()?)?;
        if decimal.digits.is_empty() {
            return Some(Self {
                mantissa: 0,
                scale: 0,
            });
        }
        if wide > EXACT_DIGITS || scale > 36 {
            return None;
        }
        let digits: i128 = std::str::from_utf8(&decimal.digits).ok()?.parse().ok()?;
        let size = digits.checked_mul(10_i128.checked_pow(pad)?)?;
        Some(Self {
            mantissa: if decimal.negative { -size } else { size },
            scale,
        })
    }

    fn aligned(self, other: Self) -> Option<(i128, i128, u32)> {
        let scale = self.scale.max(other.scale);
        let raise = |it: Self| {
            it.mantissa
                .checked_mul(10_i128.checked_pow(scale - it.scale)?)
        };
        Some((raise(self)?, raise(other)?, scale))
    }

    fn div(self, other: Self) -> Option<Self> {
        let (a, b, _) = self.aligned(other)?;
        (0..=15_u32).find_map(|scale| {
            let a = a.checked_mul(10_i128.checked_pow(scale)?)?;
            (a.checked_rem(b)? == 0)
                .then(|| a.checked_div(b))?
                .map(|mantissa| Self { mantissa, scale })
        })
    }

    fn number(mut self) -> Option<Number> {
        while self.scale > 0 && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.scale -= 1;
        }
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let digits = self.mantissa.unsigned_abs().to_string();
        let scale = usize::try_from(self.scale).ok()?;
        let text = if scale == 0 {
            format!("{sign}{digits}")
        } else {
            let digits = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            format!("{sign}{whole}.{fraction}")
        };
        text.parse().ok()
    }
}

/// One operation: exact where the digits fit, else in binary floating point.
/// `None`: a division by zero, or too large for either.
pub(super) fn calculate(sum: Sum, a: &Number, b: &Number) -> Option<Number> {
    match sum {
        Sum::Min => return Some(if compare(a, b).is_le() { a } else { b }.clone()),
        Sum::Max => return Some(if compare(a, b).is_ge() { a } else { b }.clone()),
        Sum::Add | Sum::Sub | Sum::Mul | Sum::Div => {}
    }
    exactly(sum, a, b).or_else(|| {
        let (a, b) = (a.as_f64()?, b.as_f64()?);
        Number::from_f64(match sum {
            Sum::Add => a + b,
            Sum::Sub => a - b,
            Sum::Mul => a * b,
            Sum::Div => a / b,
            Sum::Min | Sum::Max => return None,
        })
    })
}

fn exactly(sum: Sum, a: &Number, b: &Number) -> Option<Number> {
    let (a, b) = (Exact::read(a)?, Exact::read(b)?);
    let exact = match sum {
        Sum::Div => a.div(b)?,
        Sum::Mul => Exact {
            mantissa: a.mantissa.checked_mul(b.mantissa)?,
            scale: a.scale.checked_add(b.scale)?,
        },
        Sum::Add | Sum::Sub => {
            let (a, b, scale) = a.aligned(b)?;
            let mantissa = if sum == Sum::Add {
                a.checked_add(b)
            } else {
                a.checked_sub(b)
            };
            Exact {
                mantissa: mantissa?,
                scale,
            }
        }
        Sum::Min | Sum::Max => return None,
    };
    exact.number()
}

/// Rounds to `digits` after the point, halves away from zero.
pub(super) fn round(number: &Number, digits: u32) -> Option<Number> {
    let exact = Exact::read(number)?;
    let Some(drop) = exact.scale.checked_sub(digits).filter(|drop| *drop > 0) else {
        return exact.number();
    };
    let unit = 10_i128.checked_pow(drop)?;
    let half = unit / 2;
    let nudged = if exact.mantissa < 0 {
        exact.mantissa.checked_sub(half)?
    } else {
        exact.mantissa.checked_add(half)?
    };
    Exact {
        mantissa: nudged / unit,
        scale: digits,
    }
    .number()
}

/// The integer that a text spells exactly, or that a number is.
pub(super) fn int(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => {
            if number
                .to_string()
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b'-')
            {
                return Some(number.clone());
            }
            let exact = Exact::read(number)?.number()?;
            (!exact.to_string().contains('.')).then_some(exact)
        }
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain = digits == "0" || !digits.starts_with('0');
            let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if plain && all {
                text.parse().ok()
            } else {
                None
            }
        }
        _ => None,
    }
}

/// The number that a text spells as JSON does, or the number itself.
pub(super) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => {
            let bare = text
                .bytes()
                .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            if bare { text.parse().ok() } else { None }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Number {
        text.parse().expect("a number")
    }

    #[test]
    #[rustfmt::skip]
    fn numbers_compare_by_value_whatever_their_spelling() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            ("4", "4.0", Equal), ("4", "40e-1", Equal), ("0", "-0.0", Equal), ("1e5", "100000", Equal),
            ("9007199254740993", "9007199254740992", Greater), ("-1", "1", Less), ("-2.5", "-2.4", Less),
            ("123456789012345678901234567890", "123456789012345678901234567891", Less),
            ("1e400", "1e401", Less), ("0.001", "0", Greater), ("0", "1e-400", Less), ("12", "9", Greater),
        ];
        for (a, b, want) in cases {
            assert_eq!(compare(&n(a), &n(b)), want, "{a} {b}");
            assert_eq!(compare(&n(b), &n(a)), want.reverse(), "{b} {a}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn sums_are_exact_where_a_decimal_can_say_them() {
        let cases = [
            (Sum::Mul, "0.1", "3", "0.3"), (Sum::Mul, "0.5", "8", "4"), (Sum::Add, "0.1", "0.2", "0.3"),
            (Sum::Sub, "1", "9", "-8"), (Sum::Div, "8", "4", "2"), (Sum::Div, "1", "8", "0.125"),
            (Sum::Div, "16", "9", "1.7777777777777777"), (Sum::Min, "2", "10", "2"), (Sum::Max, "2", "10", "10"),
            (Sum::Add, "9007199254740993", "1", "9007199254740994"),
        ];
        for (sum, a, b, want) in cases {
            assert_eq!(calculate(sum, &n(a), &n(b)).map(|n| n.to_string()).as_deref(), Some(want), "{sum:?} {a} {b}");
        }
        assert_eq!(calculate(Sum::Div, &n("1"), &n("0")), None);
    }

    #[test]
    #[rustfmt::skip]
    fn rounding_takes_halves_away_from_zero() {
        for (x, digits, want) in [("1.7777777777777777", 2, "1.78"), ("2.5", 0, "3"), ("-2.5", 0, "-3"), ("7", 2, "7"), ("0.04", 1, "0")] {
            assert_eq!(round(&n(x), digits).map(|n| n.to_string()).as_deref(), Some(want), "{x}");
        }
    }

    #[test]
    fn an_int_comes_from_exact_text_only() {
        for good in ["8", "-3", "0", "123456789012345678901234567890"] {
            assert_eq!(
                int(&Value::from(good)).map(|n| n.to_string()).as_deref(),
                Some(good)
            );
        }
        for bad in ["8.0", "08", "", "-", " 8", "8s", "1e5", "+8"] {
            assert_eq!(int(&Value::from(bad)), None, "{bad}");
        }
        assert_eq!(
            int(&Value::Number(n("8.0")))
                .map(|n| n.to_string())
                .as_deref(),
            Some("8")
        );
        assert_eq!(int(&Value::Number(n("8.5"))), None);
        let long = "1".repeat(60);
        assert_eq!(
            int(&Value::Number(n(&long))).map(|n| n.to_string()),
            Some(long)
        );
    }
}
