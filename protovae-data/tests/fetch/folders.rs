//! What is in the folder, before and after.

use std::fs;
use std::path::Path;

use protovae_data::{DataError, DataSearch, PublishedSet, Step, fetch, published, take_from};

use crate::server::{Reply, Server};
use crate::{assert_arrived, content, fetch_one, made_up, options};

#[test]
fn a_wrong_file_stays_until_the_right_one_is_whole() {
    let bytes = content(2_000);
    let into = tempfile::tempdir().unwrap();
    let target = into.path().join("a.bin");
    let missing = Server::start(|_, _| {
        Reply::Raw(
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0".into(),
            Vec::new(),
        )
    });
    for wrong in [vec![1; 2_000], vec![1; 3]] {
        fs::write(&target, &wrong).unwrap();
        fetch_one(&bytes, &[&missing], into.path(), &options()).unwrap_err();
        assert_eq!(fs::read(&target).unwrap(), wrong);
        fetch_one(&bytes, &[&Server::right(&bytes)], into.path(), &options()).unwrap();
        assert_arrived(into.path(), &bytes);
    }
    // A folder in the way is no file to replace.
    fs::remove_file(&target).unwrap();
    fs::create_dir(&target).unwrap();
    let error = fetch_one(&bytes, &[&Server::right(&bytes)], into.path(), &options()).unwrap_err();
    assert!(matches!(error, DataError::Write { .. }), "{error}");
    assert!(error.to_string().contains("a.bin"), "{error}");
}

#[test]
fn two_at_once() {
    let bytes = content(100_000);
    let server = Server::right(&bytes);
    let set = made_up(&[("a.bin", &bytes)], &[&server]);
    let into = tempfile::tempdir().unwrap();
    let mut refused = 0;
    fetch(&set, into.path(), &options(), &mut |_| {
        let error = fetch(&set, into.path(), &options(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, DataError::Write { .. }), "{error}");
        assert!(error.to_string().contains("another process"), "{error}");
        refused += 1;
    })
    .unwrap();
    assert!(refused > 0);
    assert_arrived(into.path(), &bytes);
    // The lock ends with its holder.
    fetch(&set, into.path(), &options(), &mut |_| {}).unwrap();
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let server = Server::right(b"x");
    let into = tempfile::tempdir().unwrap();
    for name in [
        "../a.bin", "/a.bin", "b/a.bin", "..", "", "b\\a.bin", "a.bin/",
    ] {
        let set = made_up(&[(name, b"x")], &[&server]);
        let error = fetch(&set, into.path(), &options(), &mut |_| {}).unwrap_err();
        assert!(
            matches!(error, DataError::Setting { key: "files", .. }),
            "{name}: {error}"
        );
    }
    assert!(server.requests().is_empty());
}

#[test]
fn sets_without_an_address_say_what_to_do() {
    let into = tempfile::tempdir().unwrap();
    let set = published("celeba").unwrap();
    let error = fetch(set, into.path(), &options(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, DataError::Unsupported { .. }), "{error}");
    for part in [
        "`celeba`",
        "img_align_celeba.zip",
        "list_attr_celeba.txt",
        "--from",
        "mmlab",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    // With the file there, or with a mirror, there is nothing to say.
    let bytes = content(100);
    let set = made_up(&[("a.bin", &bytes)], &[]);
    fs::write(into.path().join("a.bin"), &bytes).unwrap();
    fetch(&set, into.path(), &options(), &mut |_| {}).unwrap();
}

#[test]
fn taking_files_from_a_folder() {
    let (a, b) = (content(3_000), content(500));
    let set = made_up(&[("a.bin", &a), ("b.bin", &b)], &[]);
    let from = tempfile::tempdir().unwrap();
    let into = tempfile::tempdir().unwrap();
    let inner = from.path().join("made-up");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("a.bin"), &a).unwrap();
    let take = || take_from(&set, from.path(), into.path(), &mut |_| {});

    let error = take().unwrap_err();
    assert!(matches!(error, DataError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("b.bin"), "{error}");

    for wrong in [vec![3; 500], vec![3; 499]] {
        fs::write(inner.join("b.bin"), wrong).unwrap();
        let error = take().unwrap_err();
        assert!(matches!(error, DataError::Digest { .. }), "{error}");
        assert!(!into.path().join("b.bin").exists());
        assert!(!into.path().join("b.bin.part").exists());
    }

    fs::write(inner.join("b.bin"), &b).unwrap();
    assert_eq!(
        take().unwrap(),
        [into.path().join("a.bin"), into.path().join("b.bin")]
    );
    assert!(fs::read(into.path().join("b.bin")).unwrap() == b);
    // From the folder itself nothing is left to do.
    take_from(&set, into.path(), into.path(), &mut |progress| {
        assert_ne!(progress.step, Step::Copying);
    })
    .unwrap();
    assert!(fs::read(into.path().join("a.bin")).unwrap() == a);
}

/// Unpacked or packed otherwise, the published images count. Only where `PROTOVAE_TEST_DATA` names a folder with them.
#[test]
fn published_images_in_another_wrapping() {
    let Some(root) = std::env::var_os("PROTOVAE_TEST_DATA") else {
        return;
    };
    for (kind, folder) in [("mnist", "mnist"), ("cifar-10", "cifar-10-batches-bin")] {
        let set = published(kind).unwrap();
        let folder = Path::new(&root).join(folder);
        let root = tempfile::tempdir().unwrap();
        let into = DataSearch::in_folder(root.path())
            .destination(kind)
            .unwrap();
        let paths = take_from(set, &folder, &into, &mut |_| {}).unwrap();
        assert_eq!(paths.len(), set.unpacked.len());
        assert!(!into.join(".taking").exists());
        // What was taken is right, so nothing is fetched: no address would answer.
        let nowhere = PublishedSet {
            addresses: &[],
            ..*set
        };
        assert_eq!(
            fetch(&nowhere, &into, &options(), &mut |_| {}).unwrap(),
            paths
        );

        // One changed byte is found.
        let spoilt = tempfile::tempdir().unwrap();
        for path in &paths {
            fs::copy(path, spoilt.path().join(path.file_name().unwrap())).unwrap();
        }
        let target = spoilt.path().join(paths[1].file_name().unwrap());
        let mut bytes = fs::read(&target).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::remove_file(&target).unwrap();
        fs::write(&target, bytes).unwrap();
        let clean = tempfile::tempdir().unwrap();
        take_from(set, spoilt.path(), clean.path(), &mut |_| {}).unwrap_err();
        let left: Vec<_> = fs::read_dir(clean.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, [".fetch.lock"]);
    }
}
