//! Run directories, and writes that are whole or not there.

use std::fs;

use protovae_core::Error;
use protovae_core::train::{RunDirectory, newest_checkpoint, write_atomically};
use serde_json::{Value, json};

use crate::support::new_run;

#[test]
fn run_directories_overwrite_runs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("run");
    let run = new_run(place.clone());
    fs::write(run.metrics(), b"old").unwrap();
    // A run is not replaced unless asked to, and then wholly.
    let error = RunDirectory::create(&place, false).unwrap_err();
    assert!(
        matches!(&error, Error::RunExists { path } if *path == place),
        "{error}"
    );
    assert!(matches!(
        RunDirectory::check_free(&place, false),
        Err(Error::RunExists { .. })
    ));
    RunDirectory::check_free(&place, true).unwrap();
    assert!(run.metrics().exists());
    let again = RunDirectory::create(&place, true).unwrap();
    assert!(!again.metrics().exists() && !again.config().exists());
    assert!(newest_checkpoint(&again).unwrap().is_none());
    assert!(RunDirectory::open(&place).is_err());

    // Something else is never touched.
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("wedding.png"), b"precious").unwrap();
    for overwrite in [false, true] {
        let error = RunDirectory::create(&photos, overwrite).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert!(RunDirectory::check_free(&photos, overwrite).is_err());
    }
    assert_eq!(fs::read(photos.join("wedding.png")).unwrap(), b"precious");
    assert!(!photos.join("checkpoints").exists());
    let file = folder.path().join("file");
    fs::write(&file, b"precious").unwrap();
    for overwrite in [false, true] {
        assert!(RunDirectory::create(&file, overwrite).is_err());
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");

    // An empty folder, and one that is not there yet, will do.
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    RunDirectory::create(&empty, false).unwrap();
    RunDirectory::create(folder.path().join("a/b/c"), false).unwrap();

    assert!(RunDirectory::open(&photos).is_err());
    assert!(RunDirectory::open(folder.path().join("nowhere")).is_err());
    let config = json!({"seed": 1});
    again.write_config(&config).unwrap();
    let opened = RunDirectory::open(&place).unwrap();
    let text = fs::read_to_string(opened.config()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), config);
}

#[test]
fn atomic_writes_leave_nothing_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for content in [b"first".as_slice(), b"", b"second"] {
        write_atomically(&path, content).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(write_atomically(&folder.path().join("nowhere/file"), b"").is_err());
}
