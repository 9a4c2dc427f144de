//! What `doctor` reports and what `--device` takes, in whatever build this is.

use std::process::Command;

use serde_json::Value;

use crate::support::{Place, Ran, finish, write_idx};

/// The program as a user starts it, without what a test's surroundings may set.
fn command(place: &Place, arguments: &str) -> Command {
    let mut command = place.command(arguments);
    command
        .env_remove("PROTOVAE_SIMD")
        .env_remove("BURN_DEVICE");
    command
}

fn run(place: &Place, arguments: &str) -> Ran {
    finish(&mut command(place, arguments), arguments)
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    let text = |item: &Value| item[key].as_str().unwrap().to_string();
    value.as_array().unwrap().iter().map(text).collect()
}

#[test]
fn doctor_says_what_there_is_and_how_to_get_the_rest() {
    let place = Place::new();
    write_idx(&place, "data/mnist", 3);
    let found = run(&place, "doctor --data-dir data --json").ok().object();
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(found["burn"], "0.22.1");
    let devices = found["devices"].as_array().unwrap();
    assert!(devices.contains(&"cpu".into()), "{found:#}");
    assert_eq!(found["auto"], devices[0]);
    assert_eq!(found["processor"]["threads"], 2);
    assert!(found["processor"]["vector_instructions"].is_string());
    assert_eq!(found["data_folder"], "data");

    let compiled = |name: &str| {
        let backends = found["backends"].as_array().unwrap();
        let backend = backends.iter().find(|backend| backend["name"] == name);
        backend.unwrap()["compiled"].as_bool().unwrap()
    };
    assert!(compiled("cpu"));
    assert_eq!(compiled("libtorch"), cfg!(feature = "libtorch"));
    assert_eq!(
        found["libtorch"].is_object(),
        cfg!(all(feature = "libtorch", target_os = "linux"))
    );
    let commands = texts(&found["missing"], "command");
    for feature in ["cuda", "wgpu", "libtorch"] {
        let command = format!("cargo install --path protovae-cli --features {feature}");
        let told = commands.iter().any(|said| said.ends_with(&command));
        assert_eq!(told, !compiled(feature), "{feature}: {found:#}");
    }

    let sets = found["data"].as_array().unwrap();
    let folder = |name: &str| &sets.iter().find(|set| set["name"] == name).unwrap()["folder"];
    assert_eq!(folder("mnist"), "data/mnist");
    let fetches =
        |set: &str| commands.contains(&format!("protovae data fetch {set} --data-dir data"));
    assert!(!fetches("mnist"), "{found:#}");
    assert_eq!(folder("svhn"), &Value::Null);
    assert!(fetches("svhn"), "{found:#}");
    let by_hand = "protovae data fetch celeba --from FOLDER --data-dir data".to_string();
    assert!(commands.contains(&by_hand), "{found:#}");
}

#[test]
fn doctor_speaks_plainly() {
    let place = Place::new();
    let ran = run(&place, "doctor").ok();
    for part in [
        "burn 0.22.1",
        "devices, the fastest first",
        "`--device auto` takes it",
        "mnist-5k",
    ] {
        assert!(ran.out.contains(part), "{part}: {ran:#?}");
    }
    assert_eq!(ran.err, "");
    let quiet = finish(
        command(&place, "doctor").env("PROTOVAE_SIMD", "portable"),
        "doctor",
    )
    .ok();
    assert!(quiet.out.contains("unset PROTOVAE_SIMD"), "{quiet:#?}");
    assert!(place.listing().is_empty(), "it leaves nothing behind");
}

#[test]
fn auto_takes_a_device_that_is_there_and_says_which() {
    let place = Place::with_settings();
    let auto = run(&place, "doctor --json").ok().object()["auto"].clone();
    let ran = run(
        &place,
        "train --config small.json --sanity-check --device auto",
    )
    .ok();
    let said = format!("device {}, the fastest found", auto.as_str().unwrap());
    assert_eq!(ran.err.matches(&said).count(), 1, "{ran:#?}");
    let ran = run(
        &place,
        "train --config small.json --sanity-check --device auto -q",
    )
    .ok();
    assert_eq!(ran.err, "");
}

#[test]
fn a_device_that_is_not_there_is_refused_in_a_sentence() {
    let place = Place::with_settings();
    for (device, feature, compiled) in [
        ("cuda:99", "cuda", cfg!(feature = "cuda")),
        ("wgpu:99", "wgpu", cfg!(feature = "wgpu")),
        ("libtorch:cuda:99", "libtorch", cfg!(feature = "libtorch")),
    ] {
        let arguments = format!("train --config small.json --out run --device {device}");
        let message = run(&place, &arguments).fails(2);
        let advice = if compiled {
            "use `--device cpu`".to_string()
        } else {
            format!("build with `--features {feature}`")
        };
        assert!(
            message.contains(device) && message.contains(&advice),
            "{message}"
        );
    }
    let unknown = run(&place, "bench --device gpu");
    assert_eq!(unknown.code, Some(2), "{unknown:#?}");
    assert!(
        unknown.err.contains("cuda[:N]") && unknown.err.contains("auto"),
        "{unknown:#?}"
    );
    assert!(!place.path("run").exists());
}

/// As many devices, as many parts: the same model, and it goes on in the same way.
#[test]
fn several_devices_share_each_batch() {
    let place = Place::with_settings();
    run(
        &place,
        "train --config small.json --out parts --set training.batch_parts=4 --epochs 2 -q",
    )
    .ok();
    let two = "--set training.batch_parts=2 --device cpu --devices 0,0";
    run(
        &place,
        &format!("train --config small.json --out shared {two} --epochs 1 -q"),
    )
    .ok();
    run(&place, "train --resume shared --epochs 2 --devices 0,0 -q").ok();
    assert!(place.bytes("shared/model.safetensors") == place.bytes("parts/model.safetensors"));

    let message = run(&place, "train --config small.json --out none --devices 0,1").fails(2);
    assert!(message.contains("no number 1"), "{message}");
    let none = "train --config small.json --out none --set training.batch_parts=0";
    let message = run(&place, none).fails(2);
    assert!(message.contains("training.batch_parts"), "{message}");
    assert!(!place.path("none").exists());
}

#[test]
fn a_precision_that_a_device_has_not_is_refused() {
    let place = Place::with_settings();
    for arguments in [
        "--precision bf16",
        "--set training.precision=f16",
        "--precision bf17",
        "--set training.precision=half",
    ] {
        let train = format!("train --config small.json --out run {arguments}");
        let message = run(&place, &train).fails_with_lines(2);
        assert!(message.contains("f32"), "{arguments}: {message}");
    }
    run(
        &place,
        "train --config small.json --sanity-check --precision f32 -q",
    )
    .ok();
    let message = run(&place, "bench --preset mnist --set training.precision=bf16").fails(2);
    assert!(message.contains("bf16"), "{message}");
    assert!(!place.path("run").exists());
}

/// burn would panic when the optimizer's state is read.
#[test]
fn a_default_device_in_the_environment_does_no_harm() {
    let place = Place::with_settings();
    for name in ["cuda", "nonsense", ""] {
        let train = |arguments: &str| {
            finish(
                command(&place, arguments).env("BURN_DEVICE", name),
                arguments,
            )
            .ok()
        };
        train("train --config small.json --epochs 1 --out run --overwrite -q");
        train("train --resume run --epochs 2 -q");
    }
}

/// Needs a build with libtorch, see the chapter on devices: `.ci/devices` runs it.
#[cfg(feature = "libtorch")]
mod libtorch {
    use super::*;

    /// What each step logged: its loss and the terms of it.
    fn losses(place: &Place, run: &str) -> Vec<Vec<(String, f64)>> {
        let steps = place
            .metrics(run)
            .into_iter()
            .filter(|line| line["event"] == "step");
        let values = |line: Value| {
            let figures = &line["figures"];
            let terms = figures["terms"].as_object().unwrap().iter();
            let mut values: Vec<(String, f64)> = terms
                .map(|(name, value)| (name.clone(), value.as_f64().unwrap()))
                .collect();
            values.push(("loss".to_string(), figures["loss"].as_f64().unwrap()));
            values
        };
        steps.map(values).collect()
    }

    fn assert_close(ours: f64, theirs: f64, relative: f64, what: &str) {
        let scale = ours.abs().max(theirs.abs()).max(1e-3);
        assert!(
            (ours - theirs).abs() <= relative * scale,
            "{what}: {ours} on the CPU, {theirs} on libtorch"
        );
    }

    /// Twenty steps of the preset that `train` takes by itself.
    ///
    /// At that preset's learning rate rounding grows a hundredfold in a few steps, as between two sets of vector
    /// instructions of one processor; at a hundredth of it the loss still falls by ten times what is tolerated.
    #[test]
    fn training_agrees_with_the_cpu() {
        let place = Place::new();
        let preset = "train --set data.test_limit=200 --set training.max_batches=20 --set training.log_every=1 --epochs 1 -q";
        for rate in ["1e-5", "1e-3"] {
            for device in ["cpu", "libtorch"] {
                let out = format!("--set training.learning_rate={rate} --out {device}-{rate}");
                run(&place, &format!("{preset} {out} --device {device}")).ok();
            }
            let ours = losses(&place, &format!("cpu-{rate}"));
            let theirs = losses(&place, &format!("libtorch-{rate}"));
            assert_eq!((ours.len(), theirs.len()), (20, 20));
            let total = |step: &[(String, f64)]| step.last().unwrap().1;
            let (first, last) = (total(&ours[0]), total(&ours[19]));
            assert!(first - last > 1e-2 * last, "from {first} to {last}");
            // At the preset's own rate, before rounding has grown: values and gradients of the first step.
            let compared = if rate == "1e-3" { 2 } else { 20 };
            for (step, (ours, theirs)) in ours.iter().zip(&theirs).enumerate().take(compared) {
                let step = step + 1;
                assert_close(total(ours), total(theirs), 1e-3, &format!("step {step}"));
                for ((name, ours), (_, theirs)) in ours.iter().zip(theirs) {
                    assert_close(*ours, *theirs, 5e-3, &format!("{name} of step {step}"));
                }
            }
        }
    }

    /// In 16 bits, and on from there; the model file is as any other.
    #[test]
    fn it_trains_in_lower_precision() {
        let place = Place::with_settings();
        let train = "train --config small.json --device libtorch -q";
        let last = |run: &str| losses(&place, run).last().unwrap().last().unwrap().1;
        run(&place, &format!("{train} --epochs 2 --out f32")).ok();
        run(
            &place,
            &format!("{train} --epochs 2 --out bf16 --precision bf16"),
        )
        .ok();
        run(
            &place,
            &format!("{train} --epochs 1 --out f16 --precision f16"),
        )
        .ok();
        let resume = "train --resume f16 --epochs 2 -q";
        let message = run(&place, resume).fails(2);
        assert!(
            message.contains("cpu") && message.contains("f16"),
            "{message}"
        );
        run(&place, &format!("{resume} --device libtorch")).ok();
        for precision in ["bf16", "f16"] {
            let (found, expected) = (last(precision), last("f32"));
            assert_ne!(found, expected, "{precision}");
            assert_close(expected, found, 0.1, precision);
            let size = |run: &str| place.bytes(&format!("{run}/model.safetensors")).len();
            assert!(size(precision).abs_diff(size("f32")) < 200);
            run(&place, &format!("eval {precision} --device cpu")).ok();
        }
    }

    /// Begun on one, resumed on the other: the end is nearly that of a run that stayed.
    #[test]
    fn a_run_goes_on_on_the_other_device() {
        let place = Place::with_settings();
        for (begin, resume) in [("cpu", "cpu"), ("cpu", "libtorch"), ("libtorch", "cpu")] {
            let out = format!("{begin}-{resume}");
            let begin =
                format!("train --config small.json --epochs 1 --out {out} --device {begin} -q");
            run(&place, &begin).ok();
            let resume = format!("train --resume {out} --epochs 2 --device {resume} -q");
            run(&place, &resume).ok();
        }
        let stayed = losses(&place, "cpu-cpu");
        for moved in ["cpu-libtorch", "libtorch-cpu"] {
            let moved = losses(&place, moved);
            assert_eq!(moved.len(), stayed.len());
            let (moved, stayed) = (moved.last().unwrap(), stayed.last().unwrap());
            for ((name, ours), (_, theirs)) in stayed.iter().zip(moved) {
                assert_close(*ours, *theirs, 1e-2, name);
            }
        }
    }

    /// One run through every command that computes, on both devices.
    #[test]
    fn every_command_works_and_agrees() {
        let place = Place::with_settings();
        run(
            &place,
            "train --config small.json --out run -q --device libtorch",
        )
        .ok();
        run(&place, "export run --out weights.safetensors").ok();
        run(
            &place,
            "import weights.safetensors --out imported --device libtorch",
        )
        .ok();
        let accuracy = |device: &str, model: &str| {
            let ran = run(&place, &format!("eval {model} --json --device {device}")).ok();
            ran.object()["accuracy"].as_f64().unwrap()
        };
        assert_close(
            accuracy("cpu", "run"),
            accuracy("libtorch", "run"),
            1e-9,
            "accuracy",
        );
        assert_close(
            accuracy("cpu", "run"),
            accuracy("libtorch", "imported"),
            1e-9,
            "imported",
        );
        for device in ["cpu", "libtorch"] {
            run(
                &place,
                &format!("explain run --test 0,1 --maps --out maps-{device} --device {device}"),
            )
            .ok();
            run(
                &place,
                &format!("prototypes run --out prototypes-{device}.png --device {device}"),
            )
            .ok();
            run(
                &place,
                &format!("predict run prototypes-{device}.png --device {device}"),
            )
            .ok();
            run(
                &place,
                &format!("measure run --images 4 --method prp --device {device}"),
            )
            .ok();
            run(
                &place,
                &format!("report run --images 4 --predictions 2 --device {device}"),
            )
            .ok();
        }
        for (path, bytes) in place.listing() {
            let (Some(ours), true) = (bytes, path.extension().is_some_and(|end| end == "npy"))
            else {
                continue;
            };
            let name = path.to_str().unwrap().replace("maps-cpu", "maps-libtorch");
            let theirs = std::fs::read(&name).unwrap();
            assert_eq!(ours.len(), theirs.len());
            let values = |bytes: &[u8]| -> Vec<f32> {
                let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
                bytes[128..].chunks_exact(4).map(value).collect()
            };
            let (ours, theirs) = (values(&ours), values(&theirs));
            let largest = ours
                .iter()
                .fold(0f32, |largest, value| largest.max(value.abs()));
            assert!(largest > 0.0, "{name}");
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert!(
                    (ours - theirs).abs() <= 1e-3 * largest,
                    "{name}: {ours} and {theirs}"
                );
            }
        }
    }
}
