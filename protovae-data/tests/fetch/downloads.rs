//! Files that arrive, at once or in pieces.

use std::collections::HashMap;
use std::fs;

use proptest::prelude::*;
use protovae_data::{DataError, Step, fetch};

use crate::server::{Reply, Server};
use crate::{assert_arrived, content, fetch_one, made_up, options, reasons};

#[test]
fn files_arrive_once() {
    let (a, b) = (content(200_000), content(7));
    let files: HashMap<String, Vec<u8>> = [
        ("/a.bin".into(), a.clone()),
        ("/b%20c.bin".into(), b.clone()),
    ]
    .into();
    let server = Server::start(move |request, _| Reply::Right(files[&request.path].clone()));
    let set = made_up(&[("a.bin", &a), ("b c.bin", &b)], &[&server]);
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("new/made-up");

    let mut steps: Vec<(String, usize, usize, Step)> = Vec::new();
    let mut done = 0;
    let paths = fetch(&set, &into, &options(), &mut |progress| {
        let step = (
            progress.file.to_string(),
            progress.number,
            progress.files,
            progress.step,
        );
        if steps.last() == Some(&step) {
            assert!(progress.done > done, "{progress:?}");
        } else {
            steps.push(step);
        }
        done = progress.done;
        assert!(done <= progress.length);
        assert!(progress.reason.is_empty());
    })
    .unwrap();
    assert_eq!(paths, [into.join("a.bin"), into.join("b c.bin")]);
    assert!(fs::read(&paths[0]).unwrap() == a && fs::read(&paths[1]).unwrap() == b);
    let expected: Vec<_> = [("a.bin", 0), ("b c.bin", 1)]
        .into_iter()
        .flat_map(|(name, number)| {
            [Step::Downloading, Step::Checking, Step::Finished]
                .map(|step| (name.to_string(), number, 2, step))
        })
        .collect();
    assert_eq!(steps, expected);
    assert_eq!(server.served(), 200_007);
    assert!(server.requests()[0].user_agent.starts_with("protovae/"));

    // A second call finds everything there.
    let mut present = 0;
    let again = fetch(&set, &into, &options(), &mut |progress| {
        present += usize::from(progress.step == Step::Present);
    });
    assert_eq!(again.unwrap(), paths);
    assert_eq!((present, server.requests().len()), (2, 2));
    let names: Vec<_> = fs::read_dir(&into)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}"); // the third is the lock
}

#[test]
fn a_broken_download_is_continued() {
    let bytes = content(300_000);
    let sent = bytes.clone();
    let server = Server::start(move |_, number| match number {
        0 => Reply::Cut(sent.clone(), 100_000),
        _ => Reply::Right(sent.clone()),
    });
    let into = tempfile::tempdir().unwrap();
    fetch_one(&bytes, &[&server], into.path(), &options()).unwrap();
    assert_arrived(into.path(), &bytes);
    assert_eq!(server.requests()[1].from, Some(100_000));
    // Not one byte was sent twice.
    assert_eq!(server.served(), 300_000);
}

#[test]
fn a_later_call_continues_too() {
    let bytes = content(100_000);
    let (broken, sent) = (
        Server::start({
            let sent = bytes.clone();
            move |request, _| match request.from {
                None => Reply::Cut(sent.clone(), 60_000),
                Some(_) => Reply::Cut(sent.clone(), 0),
            }
        }),
        Server::right(&bytes),
    );
    let into = tempfile::tempdir().unwrap();
    let found = reasons(
        fetch_one(&bytes, &[&broken], into.path(), &options()),
        into.path(),
    );
    assert!(
        found[0].contains("broke off after 60000 of 100000 bytes"),
        "{found:?}"
    );
    assert_eq!(broken.requests().len(), 1 + 3);
    assert_eq!(
        fs::read(into.path().join("a.bin.part")).unwrap().len(),
        60_000
    );

    fetch_one(&bytes, &[&sent], into.path(), &options()).unwrap();
    assert_arrived(into.path(), &bytes);
    assert_eq!(sent.served(), 40_000);
}

#[test]
fn a_connection_that_always_breaks_ends_in_an_error_or_in_the_file() {
    let bytes = content(50_000);
    let sent = bytes.clone();
    // Some bytes each time: slow, but it arrives.
    let slow = Server::start(move |_, _| Reply::Cut(sent.clone(), 1_000));
    let into = tempfile::tempdir().unwrap();
    fetch_one(&bytes, &[&slow], into.path(), &options()).unwrap();
    assert_arrived(into.path(), &bytes);
    assert_eq!((slow.served(), slow.requests().len()), (50_000, 50));

    // Too few: it is given up in the end.
    let sent = bytes.clone();
    let miser = Server::start(move |_, _| Reply::Cut(sent.clone(), 1));
    let into = tempfile::tempdir().unwrap();
    let found = reasons(
        fetch_one(&bytes, &[&miser], into.path(), &options()),
        into.path(),
    );
    assert_eq!(found, ["it broke off 100 times"]);
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let bytes = content(90_000);
    let sent = bytes.clone();
    let server = Server::start(move |request, number| match number {
        0 => Reply::Cut(sent.clone(), 30_000),
        _ => {
            assert_eq!(request.from, Some(30_000));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", sent.len());
            Reply::Raw(head, sent.clone())
        }
    });
    let into = tempfile::tempdir().unwrap();
    fetch_one(&bytes, &[&server], into.path(), &options()).unwrap();
    assert_arrived(into.path(), &bytes);
    assert_eq!(server.served(), 120_000);
}

#[test]
fn redirects() {
    let bytes = content(40_000);
    let sent = bytes.clone();
    let server = Server::start(move |request, number| {
        if request.path == "/a.bin" {
            let head = "HTTP/1.1 302 Found\r\nLocation: /elsewhere?x=1\r\nContent-Length: 0";
            return Reply::Raw(head.into(), Vec::new());
        }
        assert_eq!(request.path, "/elsewhere?x=1");
        match number {
            1 => Reply::Cut(sent.clone(), 10_000),
            _ => Reply::Right(sent.clone()),
        }
    });
    let into = tempfile::tempdir().unwrap();
    fetch_one(&bytes, &[&server], into.path(), &options()).unwrap();
    assert_arrived(into.path(), &bytes);
    // The range goes along with the redirect.
    assert_eq!(server.served(), 40_000);

    let into = tempfile::tempdir().unwrap();
    for location in [
        "/a.bin",
        "file:///etc/hostname",
        "ftp://127.0.0.1/a.bin",
        "data:,a",
        "//",
        "",
    ] {
        let server = Server::start(move |_, _| {
            let head = format!("HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0");
            Reply::Raw(head, Vec::new())
        });
        let found = reasons(
            fetch_one(&bytes, &[&server], into.path(), &options()),
            into.path(),
        );
        let requests = server.requests().len();
        assert!(requests <= 6, "{location}: {requests}");
        if location == "/a.bin" {
            assert!(
                found[0].contains("redirects more than 5 times"),
                "{found:?}"
            );
        }
    }
}

#[test]
fn parts_of_another_time() {
    let bytes = content(20_000);
    let into = tempfile::tempdir().unwrap();
    let part = into.path().join("a.bin.part");
    for (stale, requests, served) in [
        // Right so far: continued.
        (bytes[..15_000].to_vec(), 1, 5_000),
        // Whole and right: nothing is asked.
        (bytes.clone(), 0, 0),
        // Wrong: continued, found wrong, and begun anew.
        (vec![0; 15_000], 2, 25_000),
        // Whole and wrong, or too long: begun anew.
        (vec![0; 20_000], 1, 20_000),
        (vec![0; 20_001], 1, 20_000),
        (Vec::new(), 1, 20_000),
    ] {
        let server = Server::right(&bytes);
        fs::write(&part, &stale).unwrap();
        fetch_one(&bytes, &[&server], into.path(), &options()).unwrap();
        assert_arrived(into.path(), &bytes);
        assert_eq!(
            (server.requests().len(), server.served()),
            (requests, served),
            "{} bytes",
            stale.len()
        );
        fs::remove_file(into.path().join("a.bin")).unwrap();
    }
}

#[test]
fn wrong_ranges_begin_anew() {
    let bytes = content(20_000);
    let into = tempfile::tempdir().unwrap();
    for range in [
        "bytes 0-19999/20000",
        "bytes 9999-19999/20000",
        "bytes 10000-19999/20001",
        "bytes */20000",
        "",
    ] {
        fs::write(into.path().join("a.bin.part"), &bytes[..10_000]).unwrap();
        let sent = bytes.clone();
        let server = Server::start(move |request, _| match request.from {
            Some(from) => {
                let head = format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}");
                Reply::Raw(head, sent[from..].to_vec())
            }
            None => Reply::Right(sent.clone()),
        });
        fetch_one(&bytes, &[&server], into.path(), &options()).unwrap();
        assert_arrived(into.path(), &bytes);
        assert_eq!(server.requests().len(), 2);
        fs::remove_file(into.path().join("a.bin")).unwrap();
    }
    // A server whose file is shorter than the part says 416.
    fs::write(into.path().join("a.bin.part"), &bytes[..10_000]).unwrap();
    let short = Server::right(&bytes[..5_000]);
    let found = reasons(
        fetch_one(&bytes, &[&short], into.path(), &options()),
        into.path(),
    );
    assert!(found[0].contains("announces 5000 bytes"), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a server does at each request, the file is right or it is not there.
    #[test]
    fn the_file_is_right_or_not_there(
        deeds in prop::collection::vec((0u8..8, 0usize..3_000), 1..12),
        stale in prop::option::of(prop::collection::vec(any::<u8>(), 0..2_200)),
    ) {
        let bytes = content(2_000);
        let sent = bytes.clone();
        let server = Server::start(move |request, number| {
            let Some(&(deed, amount)) = deeds.get(number) else {
                return Reply::Right(sent.clone());
            };
            let mut wrong = sent.clone();
            wrong[amount % 2_000] ^= 0x55;
            match deed {
                0 => Reply::Right(sent.clone()),
                1 | 2 => Reply::Cut(sent.clone(), amount),
                3 => Reply::Cut(wrong, amount),
                4 => Reply::Right(wrong),
                5 => Reply::Raw("HTTP/1.1 200 OK".into(), wrong[..amount.min(2_000)].to_vec()),
                6 => Reply::Raw("HTTP/1.1 500 Oops\r\nContent-Length: 0".into(), Vec::new()),
                _ => Reply::Raw(
                    format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-1999/2000", request.from.unwrap_or(0)),
                    wrong[request.from.unwrap_or(0).min(amount).min(1_999)..].to_vec(),
                ),
            }
        });
        let into = tempfile::tempdir().unwrap();
        if let Some(stale) = stale {
            fs::write(into.path().join("a.bin.part"), stale).unwrap();
        }
        match fetch_one(&bytes, &[&server], into.path(), &options()) {
            Ok(()) => assert_arrived(into.path(), &bytes),
            Err(DataError::Fetch { .. }) => prop_assert!(!into.path().join("a.bin").exists()),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
}
