//! Charts as SVG: well-formed, safe, and true to their values.

use proptest::prelude::*;
use protovae_explain::pictures::charts::{
    Bar, BarChart, ChartLabels, Histogram, LineChart, PointGroup, Sample, ScatterChart, Series,
    standalone,
};

const EVIL: &str = "<img src=x onerror=alert(1)>";
const QUOTES: &str = "\"&' ]]> &amp; #010203 \0";

fn labels(text: &str) -> ChartLabels {
    ChartLabels {
        title: text.into(),
        description: text.into(),
        x: text.into(),
        y: text.into(),
    }
}

/// All kinds of charts with the same texts and values.
fn all_kinds(text: &str, values: &[f64]) -> Vec<String> {
    let points: Vec<(f64, f64)> = values.iter().map(|v| (*v, -*v)).collect();
    let threshold = values.first().map(|value| (text.to_string(), *value));
    vec![
        LineChart {
            labels: labels(text),
            series: vec![
                Series {
                    name: text.into(),
                    points: points.clone(),
                },
                Series::default(),
            ],
            y_range: None,
        }
        .svg()
        .unwrap(),
        LineChart {
            labels: labels(text),
            series: vec![Series {
                name: text.into(),
                points: points.clone(),
            }],
            y_range: Some((-1.0, 1.0)),
        }
        .svg()
        .unwrap(),
        BarChart {
            labels: labels(text),
            bars: values
                .iter()
                .map(|value| Bar {
                    name: text.into(),
                    value: *value,
                    error: Some(value / 10.0),
                })
                .collect(),
            range: None,
            threshold: threshold.clone(),
        }
        .svg()
        .unwrap(),
        ScatterChart {
            labels: labels(text),
            groups: vec![
                PointGroup {
                    name: text.into(),
                    points: points.clone(),
                    marked: points,
                },
                PointGroup::default(),
            ],
            marked: text.into(),
        }
        .svg()
        .unwrap(),
        Histogram {
            labels: labels(text),
            samples: vec![Sample {
                name: text.into(),
                values: values.to_vec(),
            }],
            bins: 5,
            shares: true,
            threshold,
        }
        .svg()
        .unwrap(),
    ]
}

/// The elements and texts of an SVG, panicking where it is not well-formed.
fn parse(svg: &str) -> (Vec<String>, Vec<String>) {
    let (mut open, mut elements, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        texts.push(rest[..start].to_string());
        let end = start + rest[start..].find('>').expect("tags end");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else {
            let name = tag.split([' ', '/']).next().unwrap().to_string();
            let mut attributes = tag[name.len()..].trim_end_matches('/').trim();
            let mut names = Vec::new();
            while !attributes.is_empty() {
                let (attribute, after) = attributes.split_once("=\"").expect("a value in quotes");
                let (_, after) = after.split_once('"').expect("quotes end");
                names.push(attribute.trim());
                attributes = after.trim();
            }
            assert!(names.iter().all(|name| !name.starts_with("on")), "{tag}");
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "an attribute twice: {tag}");
            if !tag.ends_with('/') {
                open.push(name.clone());
            }
            elements.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    assert!(!svg.contains('\0'));
    (elements, texts)
}

#[test]
fn charts_stand_alone_and_scale() {
    for svg in all_kinds("loss", &[1.0, 2.0, 4.5]) {
        let (elements, _) = parse(&svg);
        assert_eq!(elements[..3], ["svg", "title", "desc"]);
        let head = svg.split_once('>').unwrap().0;
        assert!(head.contains("viewBox=\"0 0 960 ") && head.contains("role=\"img\""));
        assert!(!head.contains(" width=") && !head.contains(" height="));
        assert!(svg.contains("<title>loss</title>"));
        assert!(svg.contains("currentColor"));
        for forbidden in ["href", "script", "style=", "url(", " id=", "#0102", "#FE01"] {
            assert!(!svg.contains(forbidden), "{forbidden}");
        }
        let fonts: Vec<&str> = svg.split("font-family=").skip(1).collect();
        assert!(fonts.iter().all(|font| font.starts_with("\"sans-serif\"")));
        assert!(standalone(&svg).starts_with("<svg color=\"#222\""));
    }
}

#[test]
fn no_text_becomes_markup() {
    for text in [EVIL, QUOTES] {
        for svg in all_kinds(text, &[0.5, 1.0, 2.0]) {
            let (elements, texts) = parse(&svg);
            let known = [
                "svg", "title", "desc", "text", "line", "polyline", "polygon", "rect", "circle",
            ];
            for element in elements {
                assert!(known.contains(&element.as_str()), "{element}");
            }
            // Every ampersand begins an entity that we write; none is escaped twice.
            let entities = ["&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#39;"];
            for (at, _) in svg.match_indices('&') {
                assert!(entities.iter().any(|known| svg[at..].starts_with(known)));
            }
            let doubled = ["&amp;lt;", "&amp;gt;", "&amp;quot;", "&amp;apos;"];
            assert!(!doubled.iter().any(|twice| svg.contains(twice)));
            let shown = texts.join("\n");
            let expected = if text == EVIL {
                "&lt;img src=x"
            } else {
                "&quot;&amp;&apos; ]]&gt; &amp;amp;"
            };
            assert!(shown.contains(expected), "{shown}");
        }
    }
}

#[test]
fn charts_without_values_say_so() {
    for values in [vec![], vec![f64::NAN, f64::INFINITY, -1e300]] {
        for (kind, svg) in all_kinds("x", &values).into_iter().enumerate() {
            let (_, texts) = parse(&svg);
            // Bars that have a name are shown as bars without a value.
            let named_bars = kind == 2 && !values.is_empty();
            assert_eq!(
                texts.iter().any(|text| text.trim() == "no data"),
                !named_bars,
                "{kind}"
            );
        }
    }
    let empty = BarChart::default().svg().unwrap();
    assert!(empty.contains("<desc>no data</desc>"));
}

/// The heights at which the only polyline with dashes or colour of a series runs.
fn polylines(svg: &str) -> Vec<Vec<(i32, i32)>> {
    let lines = svg
        .lines()
        .filter(|line| line.starts_with("<polyline") && line.contains("stroke-linejoin"));
    lines
        .map(|line| {
            let points = line.split_once("points=\"").unwrap().1;
            let points = points.split_once('"').unwrap().0;
            points
                .split_whitespace()
                .map(|point| {
                    let (x, y) = point.split_once(',').unwrap();
                    (x.parse().unwrap(), y.parse().unwrap())
                })
                .collect()
        })
        .collect()
}

#[test]
fn lines_run_through_their_values() {
    let chart = LineChart {
        series: vec![Series {
            name: String::new(),
            points: vec![(0.0, 0.0), (1.0, 1.0), (2.0, f64::NAN), (4.0, 0.5)],
        }],
        y_range: Some((0.0, 1.0)),
        ..LineChart::default()
    };
    let lines = polylines(&chart.svg().unwrap());
    assert_eq!(lines.len(), 1);
    let [(x0, y0), (x1, y1), (x2, y2)] = lines[0][..] else {
        panic!("{lines:?}")
    };
    assert!(y1 < y0 && (2 * y2 - y0 - y1).abs() <= 1, "{lines:?}");
    assert!((x1 - x0) * 3 - (x2 - x1) <= 3 && x1 > x0, "{lines:?}");
}

#[test]
fn many_points_are_thinned() {
    let values: Vec<f64> = (0..100_000).map(|i| f64::from(i % 977)).collect();
    for svg in all_kinds("many", &values) {
        assert!(svg.len() < 700_000, "{}", svg.len());
    }
    let chart = ScatterChart {
        groups: vec![
            PointGroup {
                points: values.iter().map(|v| (*v, v * v)).collect(),
                ..PointGroup::default()
            };
            10
        ],
        ..ScatterChart::default()
    };
    assert!(chart.svg().unwrap().len() < 700_000);
    let bars = BarChart {
        bars: vec![Bar::default(); 1000],
        ..BarChart::default()
    };
    assert!(bars.svg().unwrap().contains("800 more are not shown"));
}

#[test]
fn series_differ_in_more_than_colour() {
    let chart = LineChart {
        series: (0..5)
            .map(|number| Series {
                name: format!("series {number}"),
                points: vec![(0.0, f64::from(number)), (1.0, 0.0)],
            })
            .collect(),
        ..LineChart::default()
    };
    let svg = chart.svg().unwrap();
    let mut dashes: Vec<&str> = svg
        .lines()
        .filter(|line| line.contains("stroke-linejoin"))
        .map(|line| match line.split_once("stroke-dasharray=\"") {
            Some((_, dash)) => dash.split_once('"').unwrap().0,
            None => "",
        })
        .collect();
    dashes.sort_unstable();
    dashes.dedup();
    assert_eq!(dashes.len(), 5);
    for number in 0..5 {
        assert!(svg.contains(&format!("\nseries {number}\n")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_values_and_no_text_break_a_chart(
        text in any::<String>(),
        values in prop::collection::vec(prop::num::f64::ANY, 0..20),
        offset in -1e6_f64..1e6,
    ) {
        let near: Vec<f64> = values.iter().map(|value| offset + value % 1.0).collect();
        for values in [values, near] {
            for svg in all_kinds(&text, &values) {
                parse(&svg);
                prop_assert!(!svg.contains("NaN\"") && !svg.contains("inf\""));
            }
        }
    }
}
