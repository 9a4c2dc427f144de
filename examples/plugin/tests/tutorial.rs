//! The book's tutorial shows code of this crate and commands of its program; here both are held against them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use clap::Parser;

/// A fenced block of the page, and the last line of text before it.
struct Block {
    language: String,
    before: String,
    text: String,
}

/// The folder of the package. As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
fn package() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

fn blocks() -> Vec<Block> {
    let page = package().join("../../docs/src/plugins.md");
    let page = fs::read_to_string(page).unwrap();
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = String::new();
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.to_string(),
                    before: before.clone(),
                    text: String::new(),
                });
            }
            (None, None) if !line.trim().is_empty() => before = line.to_string(),
            (None, None) => {}
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => block.text.extend([line, "\n"]),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

#[test]
fn every_block_of_code_stands_in_the_file_named_before_it() {
    let mut shown = Vec::new();
    for block in blocks() {
        if ["console", "text"].contains(&block.language.as_str()) {
            continue;
        }
        let folder = package();
        let quoted = block.before.split('`').skip(1).step_by(2);
        let files: Vec<&str> = quoted.filter(|name| folder.join(name).is_file()).collect();
        assert_eq!(
            files.len(),
            1,
            "no one file is named before\n{}",
            block.text
        );
        let source = fs::read_to_string(folder.join(files[0])).unwrap();
        assert!(
            source.contains(&block.text),
            "{} has no longer\n{}",
            files[0],
            block.text
        );
        shown.push(files[0].to_string());
    }
    for file in [
        "src/encoder.rs",
        "src/gated.rs",
        "src/decoder.rs",
        "src/head.rs",
        "src/explainer.rs",
        "src/main.rs",
        "tests/conformance.rs",
        "outside/Cargo.toml",
        "patches.json",
    ] {
        assert!(
            shown.iter().any(|shown| shown == file),
            "{file} is not shown"
        );
    }
}

#[test]
fn every_command_is_one() {
    let blocks = blocks();
    let lines = blocks
        .iter()
        .filter(|block| block.language == "console")
        .flat_map(|block| block.text.lines());
    let mut commands = 0;
    for line in lines {
        let Some(rest) = line.strip_prefix("protovae-with-plugins ") else {
            continue;
        };
        let mut arguments = vec!["protovae"];
        for (number, part) in rest.split('\'').enumerate() {
            match number % 2 {
                0 => arguments.extend(part.split_whitespace()),
                _ => arguments.push(part),
            }
        }
        let parsed = protovae_cli::args::Cli::try_parse_from(arguments);
        assert!(parsed.is_ok(), "{line}: {parsed:?}");
        commands += 1;
    }
    assert!(commands >= 5, "{commands}");
}
