//! Numbers in few characters.

/// A number with three significant digits and no more characters than needed, as under pictures and in legends.
///
/// ```
/// use protovae_explain::pictures::brief_number;
/// assert_eq!(brief_number(0.12345), "0.123");
/// assert_eq!(brief_number(-2.0), "-2");
/// assert_eq!(brief_number(1.5e-7), "1.5e-7");
/// assert_eq!(brief_number(f64::NAN), "NaN");
/// ```
pub fn brief_number(value: f64) -> String {
    if !value.is_finite() || value == 0.0 {
        // `+ 0.0` makes a zero of a negative zero.
        return format!("{}", value + 0.0);
    }
    let exponent = exponent(value);
    if (-3..5).contains(&exponent) {
        trim(format!("{:.*}", (2 - exponent).max(0) as usize, value))
    } else {
        trim(format!("{value:.2e}"))
    }
}

/// `⌊log10 |value|⌋` of a finite value other than 0.
pub(super) fn exponent(value: f64) -> i32 {
    value.abs().log10().floor() as i32
}

/// Without zeros at the end of the decimals, also before an exponent.
pub(super) fn trim(number: String) -> String {
    let (digits, rest) = match number.find('e') {
        Some(at) => number.split_at(at),
        None => (number.as_str(), ""),
    };
    if !digits.contains('.') {
        return number;
    }
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let digits = if digits == "-0" { "0" } else { digits };
    format!("{digits}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_brief() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (0.9996, "1"),
            (12345.0, "12345"),
            (123456.0, "1.23e5"),
            (-0.001, "-0.001"),
            (0.00099, "9.9e-4"),
            (100.25, "100"),
            (9.999, "10"),
            (5e-324, "4.94e-324"),
            (f64::INFINITY, "inf"),
        ];
        for (value, expected) in cases {
            assert_eq!(brief_number(value), expected, "{value}");
        }
    }
}
