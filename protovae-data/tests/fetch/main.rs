//! Fetching from a server on this machine that does what servers should not do.
#![cfg(feature = "fetch")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod downloads;
mod folders;
mod server;
mod trouble;

use std::fs;
use std::path::Path;
use std::time::Duration;

use protovae_data::{DataError, FetchOptions, ImageShape, PublishedFile, PublishedSet, fetch};
use server::Server;
use sha2::{Digest, Sha256};

/// Bytes that do not repeat in any simple way.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A made-up set at these addresses. Its strings live as long as the tests.
fn made_up(files: &[(&'static str, &[u8])], addresses: &[&Server]) -> PublishedSet {
    let files: Vec<PublishedFile> = files
        .iter()
        .map(|(name, content)| PublishedFile {
            name,
            length: content.len() as u64,
            sha256: sha256(content).leak(),
        })
        .collect();
    let addresses: Vec<&'static str> = addresses
        .iter()
        .map(|server| &*server.address.clone().leak())
        .collect();
    PublishedSet {
        name: "made-up",
        title: "a made-up set",
        homepage: "",
        citation: "",
        licence: "",
        train: 1,
        test: 1,
        shape: ImageShape::new(1, 1, 1),
        classes: &["0"],
        digest: None,
        files: files.leak(),
        addresses: addresses.leak(),
        by_hand: "ask its publisher",
        unpacked: &[],
    }
}

fn options() -> FetchOptions {
    FetchOptions {
        pause: Duration::ZERO,
        // Long enough for a busy machine; the tests in which a server hangs have a short one.
        idle_timeout: Duration::from_secs(20),
        ..FetchOptions::default()
    }
}

/// One file `a.bin` from these servers.
fn fetch_one(
    content: &[u8],
    servers: &[&Server],
    into: &Path,
    options: &FetchOptions,
) -> Result<(), DataError> {
    let set = made_up(&[("a.bin", content)], servers);
    fetch(&set, into, options, &mut |_| {}).map(|paths| {
        assert_eq!(paths, [into.join("a.bin")]);
    })
}

fn assert_arrived(into: &Path, content: &[u8]) {
    assert!(fs::read(into.join("a.bin")).unwrap() == content);
    assert!(!into.join("a.bin.part").exists());
}

/// The reasons, one for each address.
fn reasons(result: Result<(), DataError>, into: &Path) -> Vec<String> {
    assert!(!into.join("a.bin").exists());
    match result.unwrap_err() {
        DataError::Fetch { file, failures } => {
            assert_eq!(file, "a.bin");
            failures.into_iter().map(|(_, reason)| reason).collect()
        }
        other => panic!("{other}"),
    }
}
