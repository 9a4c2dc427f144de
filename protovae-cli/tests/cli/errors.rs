//! Wrong configurations: one message that names the key, exit code 2, and nothing written.

use crate::support::Place;

/// Runs `train` with `options`; demands the exit code, all of `words` in its one-line message, and an untouched folder.
pub fn refused(place: &Place, options: &str, code: i32, words: &[&str]) {
    let before = place.listing();
    let message = place.run(&format!("train {options}")).fails(code);
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
    assert_eq!(place.listing(), before, "{options}");
}

#[test]
fn unknown_keys_are_named_in_full_with_the_nearest_right_one() {
    let place = Place::with_settings();
    for (set, path, right) in [
        ("model.los.x=1", ": model.los: ", "did you mean `loss`"),
        ("model.typ=x", ": model.typ: ", "did you mean `type`"),
        (
            "model.encoder.widhts=[3]",
            ": model.encoder.widhts: ",
            "did you mean `widths`",
        ),
        (
            "model.loss.weights.reconstuction=2",
            ": model.loss.weights.reconstuction: ",
            "did you mean `reconstruction`",
        ),
        (
            "model.decoder.stages=[{\"transpos\":4}]",
            ": model.decoder.stages.0.transpos: ",
            "did you mean `transpose`",
        ),
        (
            "training.epoch=3",
            ": training.epoch: ",
            "did you mean `epochs`",
        ),
        (
            "data.train_limt=3",
            ": data.train_limt: ",
            "did you mean `train_limit`",
        ),
        ("trainig.epochs=3", ": trainig: ", "did you mean `training`"),
        // Keys that are right elsewhere.
        (
            "training.type=3",
            ": training.type: ",
            "unknown field `type`",
        ),
        (
            "model.loss.type=x",
            ": model.loss.type: ",
            "unknown field `type`",
        ),
        (
            "model.head.seed=3",
            ": model.head.seed: ",
            "unknown field `seed`",
        ),
        (
            "training.seed=3",
            ": training.seed: ",
            "unknown field `seed`",
        ),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &["--set", path, right],
        );
    }
}

#[test]
fn unknown_plugins_and_choices_list_the_known_ones() {
    let place = Place::with_settings();
    for (set, words) in [
        (
            "model.encoder.type=conv-pol",
            [
                ": model.encoder.type: ",
                "`conv-stride`",
                "did you mean `conv-pool`",
            ],
        ),
        (
            "model.decoder.type=x",
            [": model.decoder.type: ", "`x`", "`conv-transpose`"],
        ),
        (
            "model.type=protvae",
            [": model.type: ", "`black-box`", "did you mean `protovae`"],
        ),
        (
            "data.type=mnis-5k",
            [": data.type: ", "`cifar-10`", "did you mean `mnist-5k`"],
        ),
        (
            "model.loss.convention=papr",
            [
                ": model.loss.convention: ",
                "`reference2022`",
                "did you mean `paper`",
            ],
        ),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &words,
        );
    }
    refused(
        &place,
        "--preset mnst",
        2,
        &["did you mean `mnist`", "cifar-10", "mnist-5k"],
    );
}

#[test]
fn wrong_types_are_named_in_full() {
    let place = Place::with_settings();
    for (set, words) in [
        ("training.epochs=abc", [": training.epochs: ", "\"abc\""]),
        (
            "training.batch_size=-4",
            [": training.batch_size: ", "`-4`"],
        ),
        (
            "model.latent_dimensions=abc",
            [": model.latent_dimensions: ", "\"abc\""],
        ),
        (
            "model.loss.weights.kl=true",
            [": model.loss.weights.kl: ", "`true`"],
        ),
        (
            "model.encoder.widths=4",
            [": model.encoder.widths: ", "`4`"],
        ),
        (
            "model.encoder.widths=[4,2.5]",
            [": model.encoder.widths.1: ", "`2.5`"],
        ),
        ("model.encoder=null", [": model.encoder: ", "null"]),
        ("data.train_limit={}", [": data.train_limit: ", "map"]),
        ("model=3", [": model: ", "`3`"]),
        (
            "data=mnist",
            [": data: ", "expected an object with a `type`"],
        ),
        ("seed=-1", [": seed: ", "`-1`"]),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &words,
        );
    }
}

#[test]
fn values_out_of_range_are_named() {
    let place = Place::with_settings();
    for (set, words) in [
        ("model.prototypes=52", ["model.prototypes: ", "50 and 60"]),
        (
            "model.prototypes_per_class=0",
            ["model.prototypes_per_class: ", "between 1"],
        ),
        (
            "model.latent_dimensions=0",
            ["model.latent_dimensions: ", "0"],
        ),
        (
            "model.encoder.widths=[4,4,4,4,4,4]",
            ["model.encoder.widths: ", ""],
        ),
        (
            "model.decoder.start=[4,7,7]",
            ["model.decoder.stages: ", "14×14"],
        ),
        ("model.head.type=linear", ["model.head.type: ", "black-box"]),
        (
            "model.loss.weights.kl=-1",
            ["model.loss.weights.kl: ", "-1"],
        ),
        ("training.epochs=0", ["training.epochs: ", "0"]),
        (
            "training.learning_rate=-1",
            ["training.learning_rate: ", "-1"],
        ),
        ("training.beta_1=1", ["training.beta_1: ", "1"]),
        (
            "training.loader_threads=5000",
            ["training.loader_threads: ", "1024"],
        ),
        ("data.train_limit=0", ["train_limit", "0"]),
    ] {
        refused(
            &place,
            &format!("--config small.json --set {set}"),
            2,
            &words,
        );
    }
}

#[test]
fn configuration_files_that_cannot_be_read_are_the_command_line_s_fault() {
    let place = Place::with_settings();
    let small = place.bytes("small.json");
    refused(&place, "--config none.json", 2, &["none.json", "--config"]);
    let utf16: Vec<u8> = small.iter().flat_map(|byte| [*byte, 0]).collect();
    place.write("utf16.json", [b"\xff\xfe".as_slice(), &utf16].concat());
    refused(&place, "--config utf16.json", 2, &["utf16.json", "UTF-8"]);
    // A byte order mark, as some editors write it, does no harm.
    place.write("mark.json", [b"\xef\xbb\xbf".as_slice(), &small].concat());
    place.run("config check --config mark.json").ok();
}
