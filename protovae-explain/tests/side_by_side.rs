//! Runs side by side: seeds join, systems stay apart, and every form says the same.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;

use image::RgbImage;
use proptest::prelude::*;
use protovae_explain::report::Picture;
use protovae_explain::side_by_side::{
    Figure, PrototypeRow, Published, RunFigures, SideBySide, Spread,
};

fn run(system: &str, data: &str, seed: u64, accuracy: f64) -> RunFigures {
    RunFigures {
        run: format!("runs/{system}-{data}-{seed}"),
        system: system.to_string(),
        data: data.to_string(),
        settings: format!("{system} {data}"),
        seed,
        epochs: 10,
        figures: BTreeMap::from([(Figure::Accuracy, accuracy)]),
        published: None,
    }
}

#[test]
fn seeds_join_and_systems_data_and_epochs_stay_apart() {
    let mut longer = run("senn", "mnist", 7, 0.99);
    longer.epochs = 20;
    let table = SideBySide::of(vec![
        run("protovae", "mnist", 0, 0.90),
        run("senn", "mnist", 0, 0.80),
        run("protovae", "mnist", 1, 0.92),
        run("protovae", "cifar-10", 0, 0.70),
        longer,
        // The same run named twice.
        run("protovae", "mnist", 1, 0.92),
    ]);
    let found: Vec<(&str, &str, usize)> = table
        .groups
        .iter()
        .map(|group| (group.system.as_str(), group.data.as_str(), group.runs.len()))
        .collect();
    assert_eq!(
        found,
        [
            ("protovae", "mnist", 2),
            ("senn", "mnist", 1),
            ("protovae", "cifar-10", 1),
            ("senn", "mnist", 1)
        ]
    );
    assert_eq!(table.data(), ["mnist", "cifar-10"]);
    let accuracy = table.groups[0].spreads[&Figure::Accuracy];
    assert!((accuracy.mean - 0.91).abs() < 1e-12);
    assert!((accuracy.deviation.unwrap() - 0.02f64 / 2f64.sqrt()).abs() < 1e-12);
    assert_eq!(table.groups[1].spreads[&Figure::Accuracy].deviation, None);
    assert_eq!(table.runs.len(), 5);
}

#[test]
fn a_figure_that_a_system_has_not_is_a_dash_and_no_column_if_none_has_it() {
    let mut with = run("protovae", "mnist", 0, 0.9);
    with.figures.insert(Figure::Dead, 0.25);
    with.published = Some(Published {
        accuracy: 0.994,
        deviation: Some(0.001),
        place: "Table 8".to_string(),
    });
    let table = SideBySide::of(vec![with, run("black-box", "mnist", 0, 0.95)]);
    let text = table.text();
    // Two systems and three figures: a column a system is narrower.
    let row = |name: &str| -> Vec<&str> {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    assert_eq!(row("mnist").len(), 3, "{text}");
    assert_eq!(row("dead ↓"), ["dead ↓", "25.00 %", "–"]);
    assert_eq!(row("the paper"), ["the paper", "99.4 ± 0.1 %", "–"]);
    assert!(!text.contains("ordering area"), "{text}");
    let markdown = table.markdown();
    assert!(markdown.starts_with("| mnist"), "{markdown}");
    let bars: Vec<usize> = markdown
        .lines()
        .take(4)
        .map(|line| line.matches('|').count())
        .collect();
    assert!(bars.iter().all(|count| *count == bars[0]), "{markdown}");
}

/// Reads CSV as RFC 4180 has it.
fn read(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut inside) = (vec![], vec![], String::new(), false);
    let mut letters = csv.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, inside) {
            ('"', true) if letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            ('"', _) => inside = !inside,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {}
            ('\n', false) => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (letter, _) => cell.push(letter),
        }
    }
    assert!(!inside && cell.is_empty() && row.is_empty());
    rows
}

#[test]
fn csv_reads_back_whatever_names_hold() {
    let mut odd = run("protovae, \"tuned\"\nby hand", "mnist", 0, 0.9);
    odd.figures.insert(Figure::Parameters, 2_761_121.0);
    let csv = SideBySide::of(vec![odd.clone(), run("senn", "mnist", 3, 0.8)]).csv();
    let rows = read(&csv);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let column = |name: &str| rows[0].iter().position(|head| head == name).unwrap();
    assert_eq!(rows[1][column("system")], odd.system);
    assert_eq!(rows[1][column("parameters")], "2761121");
    assert_eq!(rows[1][column("parameters-deviation")], "");
    assert_eq!(rows[2][column("accuracy")], "0.8");
    assert_eq!(rows[2][column("seeds")], "3");
}

#[test]
fn json_reads_back() {
    let mut first = run("protovae", "mnist", 0, 0.9);
    first.figures.insert(Figure::AverageDrop, 0.3);
    let table = SideBySide::of(vec![first]);
    let text = serde_json::to_string(&table).unwrap();
    assert!(text.contains("\"average-drop\":0.3"), "{text}");
    let again: SideBySide = serde_json::from_str(&text).unwrap();
    assert_eq!(again, table);
}

#[test]
fn names_are_text_on_the_page_and_prototypes_stand_in_rows() {
    let evil = "<img src=x onerror=alert(1)>";
    let table = SideBySide::of(vec![
        run(evil, "mnist", 0, 0.9),
        run("senn", "mnist", 0, 0.8),
    ]);
    let picture = Picture::new(&RgbImage::new(4, 4), format!("{evil} #0"), "").unwrap();
    let rows = [
        PrototypeRow {
            data: "mnist".to_string(),
            class: evil.to_string(),
            system: evil.to_string(),
            pictures: vec![picture.clone(), picture],
        },
        PrototypeRow {
            data: "mnist".to_string(),
            class: evil.to_string(),
            system: "senn".to_string(),
            pictures: vec![],
        },
    ];
    let page = table.to_html(&rows);
    assert!(!page.contains("<img src=x"), "a name became markup");
    assert_eq!(page.matches("data:image/png;base64,").count(), 2);
    assert_eq!(page.matches("<h3>").count(), 1, "one class, two rows");
    assert_eq!(page.matches("<h4>").count(), 2);
    assert!(page.contains("90.00 %") && page.contains("Content-Security-Policy"));
}

proptest! {
    #[test]
    fn mean_and_deviation_are_those_of_the_values(values in prop::collection::vec(0.0f64..1.0, 1..20)) {
        let found = Spread::of(&values).unwrap();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        prop_assert!((found.mean - mean).abs() < 1e-12);
        // Deviations do not change when all values are moved together.
        let moved: Vec<f64> = values.iter().map(|value| value + 0.25).collect();
        let moved = Spread::of(&moved).unwrap();
        prop_assert_eq!(found.deviation.is_some(), values.len() > 1);
        if let (Some(a), Some(b)) = (found.deviation, moved.deviation) {
            prop_assert!((a - b).abs() < 1e-9);
            let (low, high) = values.iter().fold((1.0f64, 0.0f64), |(low, high), value| (low.min(*value), high.max(*value)));
            prop_assert!(a <= (high - low) + 1e-12);
        }
        prop_assert_eq!(found.runs, values.len());
    }
}
