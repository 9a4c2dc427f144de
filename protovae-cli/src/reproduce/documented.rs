//! The tables in the book are what the stored results say: `docs/results` holds the JSON that `protovae reproduce` and
//! `protovae compare` wrote, and pages have the tables between `<!-- table NAME -->` and `<!-- end of table -->`. In the place of `table`
//! stands `epochs` for accuracies epoch by epoch and `late` for the last epochs of long runs. The curves of what was measured are
//! `docs/src/images/ITEM-TABLE.svg`.
//!
//! `PROTOVAE_WRITE_TABLES=1 cargo test --workspace --locked documented` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use protovae_core::train::write_atomically;
use protovae_explain::side_by_side::SideBySide;

use super::results::{CellResult, Results};

/// The book; not there in a crate that was published without it.
fn book() -> Option<PathBuf> {
    // That of the checkout that is tested: with a shared target directory the program may have been built in another one.
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let folder = package.join("../docs");
    folder.is_dir().then_some(folder)
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    paths
}

/// What is computed from the runs is computed again.
fn again(results: &Results) -> Results {
    let cells = results.cells.iter().map(|cell| {
        CellResult::new(
            &cell.row,
            &cell.column,
            cell.command.clone(),
            cell.epochs,
            cell.runs.clone(),
            cell.reported,
            cell.changed,
        )
    });
    Results {
        cells: cells.collect(),
        ..results.clone()
    }
}

/// What of results a table shows.
type Shown = fn(&Results) -> String;

/// The words that a table is announced by, and what then is shown.
const KINDS: [(&str, Shown); 3] = [
    ("table", Results::tables),
    ("epochs", Results::by_epoch),
    ("late", Results::late),
];

/// The table of a stored file.
fn table(book: &Path, kind: Shown, name: &str) -> String {
    let path = book.join(format!("results/{name}.json"));
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if name.starts_with("compare-") {
        let stored: SideBySide = serde_json::from_slice(&bytes).unwrap();
        let mut computed = SideBySide::of(stored.runs.clone());
        computed.notes.clone_from(&stored.notes);
        return computed.markdown();
    }
    let stored: Results = serde_json::from_slice(&bytes).unwrap();
    kind(&again(&stored))
}

/// The next table of a page: where its announcement begins, the announcement, its kind and its name.
fn next(page: &str) -> Option<(usize, &str, Shown, &str)> {
    let found = KINDS.iter().filter_map(|(word, kind)| {
        let announced = format!("<!-- {word} ");
        let start = page.find(&announced)?;
        let end = start + page[start..].find(" -->")?;
        let name = &page[start + announced.len()..end];
        Some((start, &page[start..end + " -->".len()], *kind, name))
    });
    found.min_by_key(|(start, ..)| *start)
}

const END: &str = "<!-- end of table -->";

/// A page with every table made anew.
fn rewritten(book: &Path, page: &str) -> String {
    let mut written = String::new();
    let mut rest = page;
    while let Some((start, announced, kind, name)) = next(rest) {
        let (_, after) = rest[start..].split_once(END).expect("an end");
        let table = table(book, kind, name);
        let before = &rest[..start];
        written += &format!("{before}{announced}\n\n{}\n\n{END}", table.trim());
        rest = after;
    }
    written + rest
}

/// The stored results, with the file of each.
fn stored(book: &Path) -> Vec<(PathBuf, Results)> {
    let mut paths = files(&book.join("results"), "json");
    // Comparisons and measures lie there too.
    let of_other_commands = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ["compare-", "measures-"]
            .iter()
            .any(|other| name.starts_with(other))
    };
    paths.retain(|path| !of_other_commands(path));
    let read = paths.into_iter().map(|path| {
        let bytes = fs::read(&path).unwrap();
        let results = serde_json::from_slice(&bytes);
        let results = results.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, results)
    });
    read.collect()
}

/// Demands that a file of the book holds `expected`, or writes it where that is asked for.
fn demand(path: &Path, expected: &str) {
    if fs::read_to_string(path).is_ok_and(|found| found == expected) {
        return;
    }
    assert!(
        std::env::var_os("PROTOVAE_WRITE_TABLES").is_some(),
        "{} is not what docs/results says; see protovae-cli/src/reproduce/documented.rs",
        path.display()
    );
    // At once, for other tests read the book too.
    write_atomically(path, expected.as_bytes()).unwrap();
}

#[test]
fn the_tables_in_the_book_are_what_the_runs_say() {
    let Some(book) = book() else { return };
    for path in files(&book.join("src"), "md") {
        let page = fs::read_to_string(&path).unwrap();
        demand(&path, &rewritten(&book, &page));
    }
}

#[test]
fn the_accuracies_of_the_readme_are_those_of_table_8() {
    let Some(book) = book() else { return };
    let readme = fs::read_to_string(book.join("../README.md")).unwrap();
    let table = table(&book, Results::tables, "table8");
    let with_deviations = |line: &&str| line.starts_with('|') && line.contains('±');
    let rows: Vec<&str> = readme.lines().filter(with_deviations).collect();
    assert_eq!(rows.len(), 2, "ours and the paper's");
    let of = |row: &str| -> Vec<String> {
        let cells = row.split('|').map(str::trim);
        let figures = cells.filter(|cell| cell.contains('±'));
        figures.map(str::to_string).collect()
    };
    let line = table.lines().find(|line| line.starts_with("| ProtoVAE"));
    // Ours and the paper's in turns.
    let expected = of(line.unwrap());
    for (number, row) in rows.into_iter().enumerate() {
        let every_other = expected.iter().skip(number).step_by(2).cloned();
        assert_eq!(of(row), every_other.take(3).collect::<Vec<_>>(), "{row}");
    }
}

#[test]
fn the_curves_in_the_book_are_what_was_measured() {
    let Some(book) = book() else { return };
    for (path, stored) in stored(&book) {
        let item = path.file_stem().unwrap_or_default().to_string_lossy();
        for measured in &stored.measured {
            if let Some(curves) = measured.svg().unwrap() {
                let picture = book.join(format!("src/images/{item}-{}.svg", measured.name));
                demand(&picture, &curves);
            }
        }
    }
}

#[test]
fn stored_results_follow_from_their_runs() {
    let Some(book) = book() else { return };
    for (path, stored) in stored(&book) {
        let computed = again(&stored);
        for (stored, computed) in stored.cells.iter().zip(&computed.cells) {
            assert_eq!(stored, computed, "{}", path.display());
        }
    }
}

#[test]
fn links_and_pictures_of_the_book_are_there() {
    let Some(book) = book() else { return };
    let pages = book.join("src");
    let mut missing = Vec::new();
    for path in files(&pages, "md") {
        let page = fs::read_to_string(&path).unwrap();
        for after in page.split("](").skip(1) {
            let target = after.split([')', ' ']).next().unwrap_or_default();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") || target.contains('<') {
                continue;
            }
            let place = match file {
                "" => path.clone(),
                file => pages.join(file),
            };
            let heading = |page: String| {
                page.lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| slug(line.trim_start_matches('#').trim()) == anchor)
            };
            let there = place.exists()
                && (anchor.is_empty() || fs::read_to_string(&place).is_ok_and(heading));
            if !there {
                missing.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The name that mdBook gives a heading.
fn slug(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    letters.collect()
}
