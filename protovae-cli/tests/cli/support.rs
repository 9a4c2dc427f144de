//! A temporary folder in which the program runs, and what the tests read back from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A small ProtoVAE on a part of the embedded set: 8 steps an epoch, 2 epochs.
pub fn settings() -> Value {
    json!({
        "data": {"type": "mnist-5k", "train_limit": 256, "test_limit": 100},
        "model": {
            "type": "protovae",
            "latent_dimensions": 8,
            "prototypes_per_class": 2,
            "encoder": {"type": "conv-pool", "widths": [4]},
            "decoder": {"type": "conv-transpose", "start": [4, 14, 14], "stages": [{"transpose": 4}]},
            "head": {"type": "prototype"},
        },
        "training": {"epochs": 2, "batch_size": 32, "log_every": 4},
    })
}

/// What a finished process said.
#[derive(Debug)]
#[expect(dead_code, reason = "`arguments` is for the messages of failed tests")]
pub struct Ran {
    pub arguments: String,
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Demands exit code 0.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Demands this exit code and one error of one line, which it gives.
    pub fn fails(self, code: i32) -> String {
        let message = self.fails_with_lines(code);
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }

    /// Demands this exit code, one error and nothing on standard output; the error may have several lines.
    pub fn fails_with_lines(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(self.err.starts_with("error: "), "{self:#?}");
        let errors = self.err.lines().filter(|line| line.contains("error:"));
        assert_eq!(errors.count(), 1, "{self:#?}");
        assert_eq!(self.out, "", "{self:#?}");
        self.err.trim_end().to_string()
    }

    /// Demands that the command line itself was refused, with the usage shown.
    pub fn fails_with_usage(self) {
        assert_eq!(self.code, Some(2), "{self:#?}");
        assert!(self.err.contains("Usage:"), "{self:#?}");
    }

    /// Standard output as JSON, one object a line.
    pub fn objects(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let value: Value = serde_json::from_str(line).expect(line);
            assert!(value.is_object(), "{line}");
            value
        };
        self.out.lines().map(parse).collect()
    }

    /// Standard output as a single JSON object.
    pub fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:#?}");
        objects.remove(0)
    }
}

/// A temporary folder, the working directory of every program started in it.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder in which `small.json` holds [`settings`].
    pub fn with_settings() -> Self {
        let place = Self::new();
        place.write("small.json", settings().to_string());
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).expect(name)
    }

    /// The lines of a run's `metrics.jsonl`.
    pub fn metrics(&self, run: &str) -> Vec<Value> {
        let text = String::from_utf8(self.bytes(&format!("{run}/metrics.jsonl"))).unwrap();
        let parse = |line: &str| serde_json::from_str(line).expect(line);
        text.lines().map(parse).collect()
    }

    /// The program with arguments separated by blanks, not yet started.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protovae"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("RAYON_NUM_THREADS", "2")
            .env_remove("PROTOVAE_DATA")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program with arguments separated by blanks.
    pub fn run(&self, arguments: &str) -> Ran {
        finish(&mut self.command(arguments), arguments)
    }

    /// Everything in the folder: the content of each file, `None` for a folder.
    pub fn listing(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut found = BTreeMap::new();
        list(self.0.path(), &mut found);
        found
    }
}

/// Runs a command to its end.
pub fn finish(command: &mut Command, arguments: &str) -> Ran {
    let output = command.output().unwrap();
    Ran {
        arguments: arguments.to_string(),
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn list(folder: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, found);
            found.insert(path, None);
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, Some(bytes));
        }
    }
}

/// A picture as an IDX image would be: a bright bar whose place depends on `number`.
pub fn bar(number: usize) -> Vec<u8> {
    let pixel = |index: usize| {
        if index % 28 / 3 == number % 9 {
            230
        } else {
            10
        }
    };
    (0..28 * 28).map(pixel).collect()
}

/// Writes the four files of MNIST's format with `count` images each into `folder`.
pub fn write_idx(place: &Place, folder: &str, count: usize) {
    let header = |kind: u8, dimensions: &[usize]| {
        let mut bytes = vec![0, 0, 8, kind];
        for dimension in dimensions {
            bytes.extend(u32::try_from(*dimension).unwrap().to_be_bytes());
        }
        bytes
    };
    for part in ["train", "t10k"] {
        let mut images = header(3, &[count, 28, 28]);
        images.extend((0..count).flat_map(bar));
        place.write(&format!("{folder}/{part}-images-idx3-ubyte"), images);
        let mut labels = header(1, &[count]);
        labels.extend((0..count).map(|number| (number % 10) as u8));
        place.write(&format!("{folder}/{part}-labels-idx1-ubyte"), labels);
    }
}

/// Writes a class of QuickDraw's format into `folder`: `count` sketches, a byte a pixel.
pub fn write_sketches(place: &Place, folder: &str, class: &str, count: usize) {
    let mut header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, 784), }}");
    // What comes before the values is a multiple of 64 bytes long, ten of them in front of the text.
    header += &" ".repeat((64 - (10 + header.len() + 1) % 64) % 64);
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend((0..count).flat_map(bar));
    place.write(&format!("{folder}/{class}.npy"), bytes);
}
