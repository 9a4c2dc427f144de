//! From what the plotting crate writes to an SVG for a page.

use super::palette::{DASHED_INK, INK, LINES, colour, dash, line_colour};
use plotters::style::RGBColor;

/// A chart of this module for a file or a page of its own: black on white whatever the surroundings.
///
/// ```
/// use protovae_explain::pictures::charts::{BarChart, standalone};
/// let svg = standalone(&BarChart::default().svg()?);
/// assert!(svg.contains("fill=\"#fff\""));
/// # Ok::<(), protovae_explain::Error>(())
/// ```
pub fn standalone(svg: &str) -> String {
    svg.replacen("<svg ", r##"<svg color="#222" "##, 1)
        .replacen(
            "</desc>",
            "</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>",
            1,
        )
}

/// Without characters that XML forbids; line breaks and the like become spaces.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            control if control.is_control() => ' ',
            '\u{FFFE}' | '\u{FFFF}' => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// For the content of an element or an attribute in quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in plain(text).chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Puts in place what the plotting crate cannot say: no fixed size, a name and a description, the page's colour, dashes.
///
/// Whatever text the drawing holds has its quotes escaped, so what is replaced here, all with quotes, is attributes only.
pub(super) fn finish(
    drawing: &str,
    (width, height): (u32, u32),
    title: &str,
    description: &str,
) -> String {
    let content = drawing.split_once('>').map_or("", |(_, content)| content);
    let mut content = content
        .replace(" stroke=\"none\" stroke-width=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" opacity=\"1\"", "");
    let mut put = |from: RGBColor, to: String| {
        let RGBColor(red, green, blue) = from;
        let from = format!("\"#{red:02X}{green:02X}{blue:02X}\"");
        if content.contains(&from) {
            content = content.replace(&from, &to);
        }
    };
    put(INK, "\"currentColor\"".to_string());
    put(
        DASHED_INK,
        "\"currentColor\" stroke-dasharray=\"9 7\"".to_string(),
    );
    for line in 0..LINES {
        let RGBColor(red, green, blue) = colour(line);
        let stroke = format!("\"#{red:02X}{green:02X}{blue:02X}\" stroke-linejoin=\"round\"");
        put(
            line_colour(line),
            match dash(line) {
                "" => stroke,
                dash => format!("{stroke} stroke-dasharray=\"{dash}\""),
            },
        );
    }
    let (title, description) = (escape(title), escape(description));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<desc>{description}</desc>{content}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_put_in_place_and_text_is_left_alone() {
        let drawing = "<svg width=\"4\" height=\"3\" viewBox=\"0 0 4 3\" xmlns=\"x\">\n\
                       <line opacity=\"1\" stroke=\"#010203\" stroke-width=\"1\"/>\n\
                       <polyline stroke=\"#FE0101\"/>\n<text>&quot;#010203&quot; #FE0101</text>\n</svg>\n";
        assert_eq!(
            finish(drawing, (4, 3), "a<b", "\"&'"),
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 4 3\" role=\"img\">\n\
             <title>a&lt;b</title>\n<desc>&quot;&amp;&#39;</desc>\n\
             <line stroke=\"currentColor\" stroke-width=\"1\"/>\n\
             <polyline stroke=\"#D55E00\" stroke-linejoin=\"round\" stroke-dasharray=\"16 7\"/>\n\
             <text>&quot;#010203&quot; #FE0101</text>\n</svg>\n"
        );
    }

    #[test]
    fn characters_that_xml_forbids_are_replaced() {
        assert_eq!(plain("a\0b\nc\u{FFFF}"), "a b c\u{FFFD}");
    }
}
