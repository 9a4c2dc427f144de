//! Servers that fail, lie or fall silent.

use std::net::TcpListener;
use std::time::Duration;

use protovae_data::{FetchOptions, Step, fetch};

use crate::server::{Reply, Server};
use crate::{assert_arrived, content, fetch_one, made_up, options, reasons, sha256};

#[test]
fn lies_about_the_length() {
    let bytes = content(5_000);
    let into = tempfile::tempdir().unwrap();
    for announced in ["4999", "5001", "0", "18446744073709551615"] {
        let sent = bytes.clone();
        let server = Server::start(move |_, _| {
            Reply::Raw(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}"),
                sent.clone(),
            )
        });
        let found = reasons(
            fetch_one(&bytes, &[&server], into.path(), &options()),
            into.path(),
        );
        assert!(
            found[0].contains(&format!("announces {announced} bytes")),
            "{found:?}"
        );
        assert_eq!(server.requests().len(), 1);
    }
    // Lengths that are no number at all are refused one layer below.
    for announced in ["-1", "5e3", "99999999999999999999999"] {
        let server = Server::start(move |_, _| {
            Reply::Raw(
                format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}"),
                Vec::new(),
            )
        });
        reasons(
            fetch_one(&bytes, &[&server], into.path(), &options()),
            into.path(),
        );
    }
    // No length, and one byte too few or too many.
    for (sent, reason) in [
        (bytes[..4_999].to_vec(), "after 4999 of 5000 bytes"),
        ([&bytes[..], &[0]].concat(), "more than the 5000 bytes"),
    ] {
        let server = Server::start(move |_, _| Reply::Raw("HTTP/1.1 200 OK".into(), sent.clone()));
        let result = fetch_one(&bytes, &[&server], into.path(), &options());
        let found = reasons(result, into.path());
        assert!(found[0].contains(reason), "{found:?}");
        assert!(server.requests().len() <= 4);
        let _ = std::fs::remove_file(into.path().join("a.bin.part"));
    }
    // A shorter file on a server that knows ranges: it cannot continue, is asked anew once, and given up.
    let sent = bytes[..4_999].to_vec();
    let server = Server::start(move |request, _| match request.from {
        None => Reply::Raw("HTTP/1.1 200 OK".into(), sent.clone()),
        Some(_) => Reply::Right(sent.clone()),
    });
    let result = fetch_one(&bytes, &[&server], into.path(), &options());
    assert!(reasons(result, into.path())[0].contains("no bytes from 4999 on"));
    assert_eq!(server.requests().len(), 4);
    // No length and the right bytes.
    let sent = bytes.clone();
    let server = Server::start(move |_, _| Reply::Raw("HTTP/1.1 200 OK".into(), sent.clone()));
    fetch_one(&bytes, &[&server], into.path(), &options()).unwrap();
    assert_arrived(into.path(), &bytes);
}

#[test]
fn wrong_bytes_are_thrown_away_and_the_next_address_is_asked() {
    let bytes = content(10_000);
    let mut wrong = bytes.clone();
    wrong[5_000] ^= 1;
    let bad = Server::right(&wrong);
    let into = tempfile::tempdir().unwrap();
    let found = reasons(
        fetch_one(&bytes, &[&bad], into.path(), &options()),
        into.path(),
    );
    assert!(
        found[0].contains(&sha256(&wrong)) && found[0].contains(&sha256(&bytes)),
        "{found:?}"
    );
    assert!(!into.path().join("a.bin.part").exists());

    let good = Server::right(&bytes);
    let set = made_up(&[("a.bin", &bytes)], &[&bad, &good]);
    let mut failed = Vec::new();
    fetch(&set, into.path(), &options(), &mut |progress| {
        if progress.step == Step::Failed {
            failed.push(progress.address.to_string());
        }
    })
    .unwrap();
    assert_arrived(into.path(), &bytes);
    assert_eq!(failed, [format!("{}a.bin", bad.address)]);
    assert_eq!(good.served(), 10_000);
}

#[test]
fn statuses() {
    let bytes = content(1_000);
    let into = tempfile::tempdir().unwrap();
    for (status, requests) in [
        ("404 Not Found", 1),
        ("403 Forbidden", 1),
        ("401 Unauthorized", 1),
        ("206 Partial Content", 1),
        ("304 Not Modified", 1),
        ("500 Internal Server Error", 3),
        ("503 Service Unavailable", 3),
        ("429 Too Many Requests", 3),
    ] {
        let server = Server::start(move |_, _| {
            Reply::Raw(
                format!("HTTP/1.1 {status}\r\nContent-Length: 0"),
                Vec::new(),
            )
        });
        let found = reasons(
            fetch_one(&bytes, &[&server], into.path(), &options()),
            into.path(),
        );
        assert!(found[0].contains(&status[..3]), "{found:?}");
        assert_eq!(server.requests().len(), requests, "{status}");
    }
    // A server that recovers, and one that speaks no HTTP.
    let sent = bytes.clone();
    let server = Server::start(move |_, number| match number {
        0 => Reply::Raw("HTTP/1.1 503 Busy\r\nContent-Length: 0".into(), Vec::new()),
        _ => Reply::Right(sent.clone()),
    });
    let odd = Server::start(|_, _| Reply::Raw("220 ready".into(), b"what?".to_vec()));
    let mut called = Vec::new();
    let set = made_up(&[("a.bin", &bytes)], &[&odd, &server]);
    fetch(&set, into.path(), &options(), &mut |progress| {
        if progress.step == Step::Failed {
            called.push(progress.address.to_string());
        }
    })
    .unwrap();
    assert_arrived(into.path(), &bytes);
    assert!(called.contains(&format!("{}a.bin", odd.address)));
}

#[test]
fn every_address_is_named_in_the_error() {
    let bytes = content(10);
    let none = Server::start(|_, _| {
        Reply::Raw(
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0".into(),
            Vec::new(),
        )
    });
    let into = tempfile::tempdir().unwrap();
    // A port that nobody listens on.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let options = FetchOptions {
        mirror: Some(format!("http://{closed}/private")),
        ..options()
    };
    let message = fetch_one(&bytes, &[&none], into.path(), &options)
        .unwrap_err()
        .to_string();
    for part in [
        "`a.bin`",
        &format!("http://{closed}/private/a.bin: "),
        &format!("{}a.bin: it answers 404", none.address),
        "--from",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    let private = Server::right(&bytes);
    let options = FetchOptions {
        mirror: Some(private.address.clone()),
        ..options
    };
    fetch_one(&bytes, &[&none], into.path(), &options).unwrap();
    assert_eq!((private.requests().len(), none.requests().len()), (1, 1));
}

/// Without a certificate on this machine only the refusal can be tried: it must be an error and no panic.
#[test]
fn https_where_nobody_speaks_it() {
    let bytes = content(10);
    let server = Server::right(&bytes);
    let options = FetchOptions {
        mirror: Some(server.address.replace("http:", "https:")),
        ..options()
    };
    let into = tempfile::tempdir().unwrap();
    let found = reasons(fetch_one(&bytes, &[], into.path(), &options), into.path());
    assert_eq!(found.len(), 1);
    assert_eq!(server.served(), 0);
}

#[test]
fn endless_data_end_at_the_length() {
    let bytes = content(25_000);
    let into = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Reply::Endless);
    let found = reasons(
        fetch_one(&bytes, &[&server], into.path(), &options()),
        into.path(),
    );
    assert_eq!(found, ["it sends more than the 25000 bytes of the file"]);
    assert!(!into.path().join("a.bin.part").exists());
    assert_eq!(server.requests().len(), 1);
    // As many headers as it likes are not read either.
    let server = Server::start(|_, _| {
        Reply::Raw(
            format!("HTTP/1.1 200 OK\r\n{}", "X-Y: z\r\n".repeat(200_000)),
            Vec::new(),
        )
    });
    reasons(
        fetch_one(&bytes, &[&server], into.path(), &options()),
        into.path(),
    );
}

#[test]
fn a_server_that_falls_silent() {
    let bytes = content(8_000);
    let into = tempfile::tempdir().unwrap();
    let impatient = FetchOptions {
        idle_timeout: Duration::from_millis(150),
        attempts: 2,
        ..options()
    };
    let silent = Server::start(|_, _| Reply::Silence);
    let found = reasons(
        fetch_one(&bytes, &[&silent], into.path(), &impatient),
        into.path(),
    );
    assert!(found[0].contains("it sent nothing for 150ms"), "{found:?}");
    assert_eq!(silent.requests().len(), 2);

    // In the middle of the file; what came is kept and completed from elsewhere.
    let sent = bytes.clone();
    let half = Server::start(move |request, _| match request.from {
        None => Reply::Hang(sent.clone()),
        Some(_) => Reply::Silence,
    });
    let good = Server::right(&bytes);
    fetch_one(&bytes, &[&half, &good], into.path(), &impatient).unwrap();
    assert_arrived(into.path(), &bytes);
    assert_eq!(half.served() + good.served(), 8_000);
}

/// Half of the file again and again is no progress, however many bytes that is.
#[test]
fn the_same_half_is_not_sent_a_hundred_times() {
    let bytes = content(8_000);
    let sent = bytes.clone();
    let server = Server::start(move |_, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}", sent.len());
        Reply::Raw(head, sent[..4_000].to_vec())
    });
    let into = tempfile::tempdir().unwrap();
    let result = fetch_one(&bytes, &[&server], into.path(), &options());
    assert!(reasons(result, into.path())[0].contains("after 4000 of 8000 bytes"));
    assert_eq!(server.requests().len(), 4);
}
