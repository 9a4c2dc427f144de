//! Every reader over the fuzzer's corpus, and over damaged copies of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod readers;

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use readers::READERS;

/// Of each reader the files of its corpus: name and content.
type Corpus = Vec<Vec<(String, Vec<u8>)>>;

static CORPUS: LazyLock<Option<Corpus>> = LazyLock::new(|| {
    // As cargo says when it runs the test: with a shared target directory it may have been built in another checkout.
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let folder = package.join("fuzz/corpus");
    // A published crate comes without its fuzzer.
    if !folder.exists() {
        return None;
    }
    let files = |target: &str| {
        let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder.join(target))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read(path).unwrap())
            })
            .collect();
        files.sort();
        files
    };
    Some(READERS.iter().map(|(target, _)| files(target)).collect())
});

#[test]
fn good_files_are_read_and_bad_ones_refused() {
    let Some(corpus) = CORPUS.as_ref() else {
        return;
    };
    for ((target, read), files) in READERS.iter().zip(corpus) {
        let (mut good, mut bad) = (0, 0);
        for (name, bytes) in files {
            let result = read(bytes);
            if name.starts_with("good-") {
                good += 1;
                assert!(result.is_ok(), "{target}/{name}: {:?}", result.err());
            } else if name.starts_with("bad-") {
                bad += 1;
                let error = result
                    .expect_err(&format!("{target}/{name} was read"))
                    .to_string();
                let says = error.contains("made-up") || error.starts_with("setting");
                assert!(says, "{target}/{name}: {error}");
            }
        }
        assert!(good >= 2 && bad >= 4, "{target}: {good} good, {bad} bad");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50_000))]

    /// Bits flipped, numbers put in, ends cut off, pieces of two files joined: no reader may panic.
    #[test]
    fn damaged_files_never_panic(
        target: Index,
        pick: (Index, Index),
        splice in prop::option::of((any::<Index>(), any::<Index>())),
        flips in prop::collection::vec((any::<Index>(), 0u8..8), 0..4),
        number in prop::option::of((
            any::<Index>(),
            prop::sample::select(vec![0u64, 1, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX - 7, u64::MAX]),
            any::<bool>(),
            prop::sample::select(vec![2usize, 4, 8]),
        )),
        cut in prop::option::weighted(0.3, any::<Index>()),
    ) {
        if let Some(corpus) = CORPUS.as_ref() {
            let at = target.index(READERS.len());
            let (_, read) = READERS[at];
            let files = &corpus[at];
            let mut bytes = files[pick.0.index(files.len())].1.clone();
            let other = &files[pick.1.index(files.len())].1;
            if let Some((head, tail)) = splice {
                bytes.truncate(head.index(bytes.len() + 1));
                bytes.extend(&other[tail.index(other.len() + 1)..]);
            }
            if !bytes.is_empty() {
                for (at, bit) in flips {
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                }
                if let Some((at, number, big_endian, length)) = number {
                    let at = at.index(bytes.len());
                    let word = if big_endian {
                        number.to_be_bytes()[8 - length..].to_vec()
                    } else {
                        number.to_le_bytes()[..length].to_vec()
                    };
                    for (slot, byte) in bytes[at..].iter_mut().zip(word) {
                        *slot = byte;
                    }
                }
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            let _ = read(&bytes);
        }
    }
}
