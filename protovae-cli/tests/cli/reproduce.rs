//! `protovae reproduce`: plans, runs that are skipped or gone on with, and results that do not depend on interruptions.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, write_idx, write_sketches};

/// Table 5 on 64 of the embedded images, for there is no other MNIST in the folder.
const SMALL: &str = "reproduce table5 --set data.train_limit=64 --set data.test_limit=50 --epochs 2 --seeds 2 --threads 2";

/// Results without what two equal runs do not share.
fn results(place: &Place, folder: &str) -> Value {
    let mut found = place.json(&format!("{folder}/table5/results.json"));
    for cell in found["cells"].as_array_mut().unwrap() {
        for run in cell["runs"].as_array_mut().unwrap() {
            run["seconds"] = Value::Null;
        }
    }
    found
}

#[test]
fn a_table_is_trained_once_and_set_beside_the_paper() {
    let place = Place::new();
    let ran = place.run(&format!("{SMALL} --out a")).ok();
    assert!(ran.err.contains("stands in for it"), "{}", ran.err);
    assert!(
        ran.out.contains("58.8 ± 10.7") && ran.out.contains("a stand-in"),
        "{}",
        ran.out
    );
    let found = results(&place, "a");
    let cells = found["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    for cell in cells {
        assert_eq!(cell["data"], "mnist-5k");
        assert_eq!(cell["column"], "mnist");
        assert_eq!(cell["runs"].as_array().unwrap().len(), 2);
        assert_eq!(cell["epochs"], 2);
        let accuracies: Vec<f64> = cell["runs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| 100.0 * run["accuracy"].as_f64().unwrap())
            .collect();
        let mean = accuracies.iter().sum::<f64>() / 2.0;
        assert!((cell["found"]["mean"].as_f64().unwrap() - mean).abs() < 1e-9);
    }
    // What was changed is said, the accuracy is that of the run's own file, and the command is one that makes the run.
    let changes = found["changes"].to_string();
    assert!(
        changes.contains("2 of 15 epochs") || changes.contains("2 of 10 epochs"),
        "{changes}"
    );
    let run = cells[2]["runs"][1]["run"].as_str().unwrap();
    let last = place.metrics(&format!("a/runs/{run}")).pop().unwrap();
    assert_eq!(last["test"]["accuracy"], cells[2]["runs"][1]["accuracy"]);
    let machine = cells[2]["runs"][1]["machine"].as_str().unwrap();
    assert!(machine.ends_with("2 threads, device cpu"), "{machine}");
    let command = cells[2]["command"].as_str().unwrap().to_string();
    assert!(
        command.starts_with("protovae train --preset mnist-5k --set model.loss.weights.kl=0"),
        "{command}"
    );
    place
        .run(&format!(
            "{} --out again -q",
            command.trim_start_matches("protovae ")
        ))
        .ok();
    let again = place.metrics("again").pop().unwrap();
    assert_eq!(again["test"]["accuracy"], cells[2]["runs"][0]["accuracy"]);

    // Nothing is trained twice, by this item or by another that takes the same runs.
    let before = place.listing();
    let ran = place.run(&format!("{SMALL} --out a")).ok();
    assert!(ran.err.contains("8 runs, 8 of them done"), "{}", ran.err);
    assert_eq!(before.len(), place.listing().len());
    assert_eq!(results(&place, "a"), found);
    let figure = SMALL.replace("table5", "fig2");
    let ran = place.run(&format!("{figure} --out a")).ok();
    assert!(ran.err.contains("3 runs, 3 of them done"), "{}", ran.err);
    image::load_from_memory(&place.bytes("a/fig2/fig2.png")).unwrap();
    let page = String::from_utf8(place.bytes("a/fig2/page.html")).unwrap();
    assert_eq!(page.matches("data:image/png;base64,").count(), 1);

    // What is measured besides: over training from the runs' own records, under attack kept from one time to the next.
    let ran = place
        .run(&format!("{} --out a", SMALL.replace("table5", "diversity")))
        .ok();
    assert!(ran.err.contains("8 runs, 6 of them done"), "{}", ran.err);
    let measured = place.json("a/diversity/results.json")["measured"].clone();
    let names: Vec<&str> = measured
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["spread", "entropy", "dead"]);
    assert_eq!(measured[0]["rows"].as_array().unwrap().len(), 4);
    assert_eq!(measured[0]["rows"][0]["values"][1]["runs"], 2);
    let chart = String::from_utf8(place.bytes("a/diversity/diversity-spread.svg")).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("PanVAE"));
    let attacks = format!("{} --out a", SMALL.replace("table5", "attacks"));
    let ran = place.run(&attacks).ok();
    // Fashion-MNIST may be a package of the system.
    let attacked = place.json("a/attacks/results.json");
    let runs = attacked["cells"].as_array().unwrap().iter();
    let runs: usize = runs
        .map(|cell| cell["runs"].as_array().unwrap().len())
        .sum();
    assert!(runs >= 4);
    // Each by itself and with the images of the other of its data and seed.
    assert_eq!(
        ran.err.matches("attacking").count(),
        2 * runs,
        "{}",
        ran.err
    );
    assert!(
        ran.out.contains("ProtoVAE, made for black box") && ran.out.contains("cifar-10: not run"),
        "{}",
        ran.out
    );
    let table = place.json("a/attacks/results.json")["measured"][0].clone();
    for row in table["rows"].as_array().unwrap() {
        let shares: Vec<f64> = row["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| value["mean"].as_f64().unwrap())
            .collect();
        assert_eq!(shares.len(), 8);
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(shares[7] <= shares[0], "{shares:?}");
    }
    let ran = place.run(&attacks).ok();
    assert!(!ran.err.contains("attacking"), "{}", ran.err);
    let page = String::from_utf8(place.bytes("a/attacks/page.html")).unwrap();
    assert!(page.contains("<svg"));

    // A model that is not what it was is made anew.
    let model = format!("a/runs/{run}/model.safetensors");
    let mut bytes = place.bytes(&model);
    *bytes.last_mut().unwrap() ^= 1;
    place.write(&model, &bytes);
    let ran = place.run(&format!("{SMALL} --out a")).ok();
    assert!(ran.err.contains("8 runs, 7 of them done"), "{}", ran.err);
    assert_eq!(results(&place, "a"), found);
}

#[test]
fn kills_change_nothing() {
    let place = Place::new();
    let small = format!("{SMALL} --set training.log_every=1");
    place.run(&format!("{small} --out whole -q")).ok();
    for attempt in 0..10u64 {
        let mut child = place
            .command(&format!("{small} --out cut -q"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + attempt * 137 % 900));
        // It may be done already.
        let _ = child.kill();
        child.wait().unwrap();
    }
    place.run(&format!("{small} --out cut -q")).ok();
    assert_eq!(results(&place, "cut"), results(&place, "whole"));
}

#[test]
fn a_budget_shrinks_the_plan_openly() {
    let place = Place::new();
    let small =
        "reproduce table5 --set data.train_limit=64 --set data.test_limit=50 --threads 2 --out b";
    let ran = place
        .run(&format!("{small} --budget 1s --dry-run --json"))
        .ok();
    let plan = ran.object();
    assert_eq!(plan["seeds"], 1);
    assert_eq!(plan["cells"][0]["wanted"]["epochs"], 1);
    let changes = plan["changes"].to_string();
    assert!(
        changes.contains("1 of 4 seeds") && changes.contains("1 of 15 epochs"),
        "{changes}"
    );
    assert!(!place.path("b").exists(), "a dry run leaves nothing");
    let ran = place.run(&format!("{small} --dry-run")).ok();
    assert_eq!(ran.out.lines().count(), 16, "{}", ran.out);
    // Each into a folder of its own.
    let folders: std::collections::BTreeSet<&str> = ran
        .out
        .lines()
        .filter_map(|line| line.split(" --out ").nth(1))
        .collect();
    assert_eq!(folders.len(), 16);

    // The plan that a budget left stays what it is when the command is repeated, also with time to spare.
    let hurried = format!("{small} --budget 1s --commands");
    place.run(&hurried).ok();
    let mut plan = place.json("b/table5/plan.json");
    plan["cells"][0]["wanted"]["epochs"] = 3.into();
    place.write("b/table5/plan.json", plan.to_string());
    place.run(&hurried).ok();
    let again = place.json("b/table5/plan.json");
    assert_eq!(again["cells"], plan["cells"]);
    assert_eq!(again["changes"], plan["changes"]);
    place
        .run(&hurried.replace("--budget 1s", "--budget 2s"))
        .ok();
    let another = place.json("b/table5/plan.json");
    assert_eq!(another["cells"][0]["wanted"]["epochs"], 1);
}

#[test]
fn runs_can_be_tasks_of_other_schedulers_and_are_collected() {
    let place = Place::new();
    let small = SMALL.replace("--seeds 2", "--seeds 1");
    let printed = place.run(&format!("{small} --out c --commands")).ok().out;
    assert_eq!(printed.lines().count(), 4);
    let ran = place.run("reproduce collect --out c").ok();
    assert!(ran.out.contains("0 of 1 runs are done"), "{}", ran.out);
    // Two at a time, one of them twice: no two step on each other.
    let mut commands: Vec<&str> = printed.lines().collect();
    commands.push(commands[0]);
    for pair in commands.chunks(2) {
        let children: Vec<_> = pair
            .iter()
            .map(|command| {
                Command::new("sh")
                    .args(["-c", command])
                    .current_dir(place.path("."))
                    .env("HOME", place.path("."))
                    .env_remove("PROTOVAE_DATA")
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    }
    let found = place.run("reproduce collect --out c --json").ok().object();
    let cells = found["cells"].as_array().unwrap();
    assert!(
        cells
            .iter()
            .all(|cell| cell["runs"].as_array().unwrap().len() == 1),
        "{found}"
    );
    let error = place.run("reproduce table5 --out c --task 4").fails(2);
    assert!(error.contains("4 runs"), "{error}");

    // Another machine with the same plan and none of the runs: its tables are complete with what was found here.
    place.run(&format!("{small} --out d --commands")).ok();
    let with = "--with c/table5/results.json";
    let told = place.run(&format!("reproduce collect --out d {with} --json"));
    let told = told.ok().object();
    assert_eq!(told["cells"], found["cells"]);
    assert_eq!(told["changes"], found["changes"]);
    let error = place.run("reproduce collect --out d --with d/table5/plan.json");
    assert!(error.fails(1).contains("plan.json"));
    let error = place
        .run(&format!("reproduce table5 --out d {with}"))
        .fails(2);
    assert!(error.contains("collect"), "{error}");
}

#[test]
fn a_run_on_a_stand_in_is_not_one_on_the_set() {
    let place = Place::new();
    let small = "reproduce table5 --epochs 1 --seeds 1 --threads 1 --set training.batch_size=10 --data-dir data --out a";
    for (images, name) in [(30, "mnist-60"), (40, "mnist-80")] {
        write_idx(&place, "data/mnist", images);
        let ran = place.run(small).ok();
        let found = results(&place, "a");
        let cell = &found["cells"][0];
        assert_eq!(cell["data"], name, "trained anew on what is there now");
        assert_eq!(cell["verdict"], "a stand-in, not comparable");
        let said = format!("{name} stands in for it");
        assert!(found["changes"].to_string().contains(&said), "{found}");
        assert!(ran.err.contains(&said), "{}", ran.err);
    }
}

#[test]
fn a_figure_says_in_numbers_how_sharp_its_prototypes_are() {
    let place = Place::new();
    for class in ["bird", "house"] {
        write_sketches(&place, "data/quickdraw", class, 20);
    }
    let figure = "reproduce fig12 --epochs 1 --seeds 1 --threads 1 --set training.batch_size=10 --data-dir data --out a";
    let ran = place.run(figure).ok();
    assert!(ran.err.contains("quickdraw-2x20 stands in"), "{}", ran.err);
    image::load_from_memory(&place.bytes("a/fig12/fig12.png")).unwrap();
    let found = place.json("a/fig12/results.json");
    let table = &found["measured"][0];
    let columns = table["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 5);
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let of_images = |row: &Value| row["values"][3]["mean"].as_f64().unwrap();
    for (row, name) in rows.iter().zip(["weight 0.1", "weight 1"]) {
        assert_eq!(row["name"], name);
        let values = row["values"].as_array().unwrap();
        let finite = |value: &Value| value["mean"].as_f64().is_some_and(|mean| mean >= 0.0);
        assert!(values.iter().all(finite), "{row}");
    }
    // A bar of three columns of 28 has two edges of 220 of 255 steps in each line, and pixels lie in [-1, 1]; at the border one.
    let edges = |count: f64| count * (2.0 * 220.0 / 255.0) / 27.0 / 2.0;
    assert!(
        (edges(1.0)..=edges(2.0)).contains(&of_images(&rows[0])),
        "{table}"
    );
    assert_eq!(of_images(&rows[0]), of_images(&rows[1]), "the same images");
    assert!(ran.out.contains("variety within a class"), "{}", ran.out);

    // Measured once.
    let ran = place.run(figure).ok();
    assert!(!ran.err.contains("decoding"), "{}", ran.err);
    assert_eq!(place.json("a/fig12/results.json")["measured"][0], *table);

    // What goes on from Figure 13 is one too, with settings of its own.
    let ran = place.run(&figure.replace("fig12", "weight-100")).ok();
    assert_eq!(ran.err.matches("decoding").count(), 3, "{}", ran.err);
    image::load_from_memory(&place.bytes("a/weight-100/weight-100.png")).unwrap();
    let found = place.json("a/weight-100/results.json");
    assert!(found["changes"].to_string().contains("1 of 25 epochs"));
    let reported = |cell: usize| found["cells"][cell]["runs"][0]["reported_as"].as_str();
    let names = [0, 1, 2].map(|cell| reported(cell).unwrap_or_default().to_string());
    assert!(
        names[0].starts_with("sampled-mean") && names[2].starts_with("reference2022"),
        "{names:?}"
    );
    let said = |name: &&String| name.contains("reconstruction weight 100");
    assert_eq!(names.iter().filter(said).count(), 3, "{names:?}");
    assert!(names[1].contains("kl weight 1"), "{names:?}");
}

#[test]
fn other_losses_are_shown_in_numbers_and_pictures_of_one_column() {
    let place = Place::new();
    let choices = "reproduce conventions --set data.train_limit=64 --set data.test_limit=50 --epochs 1 --seeds 1 --threads 2 --out a";
    let ran = place.run(choices).ok();
    let found = place.json("a/conventions/results.json");
    let cells = found["cells"].as_array().unwrap();
    let trained = |cell: &&Value| !cell["runs"].as_array().unwrap().is_empty();
    let of_digits = |cell: &&Value| cell["column"] == "mnist";
    assert_eq!(cells.iter().filter(trained).filter(of_digits).count(), 11);
    // No two choices train the same.
    let models = cells
        .iter()
        .filter(trained)
        .map(|cell| &cell["runs"][0]["model"]);
    let different: std::collections::BTreeSet<&str> = models.filter_map(Value::as_str).collect();
    assert_eq!(different.len(), cells.iter().filter(trained).count());
    let rows = found["measured"][0]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), different.len());
    assert_eq!(rows[0]["name"], "the default, sampled-mean, mnist");
    // Eleven panels, two in a row or three, of ten classes each.
    let picture = place.bytes("a/conventions/conventions.png");
    let drawn = image::load_from_memory(&picture).unwrap();
    let panels = drawn.height() / 560;
    assert!((4..=6).contains(&panels), "{}", drawn.height());
    assert!(ran.out.contains("squared distances, mnist"), "{}", ran.out);
}

#[test]
fn names_and_plans_that_are_not_there_are_told() {
    let place = Place::new();
    let error = place.run("reproduce tabel5").fails(2);
    assert!(error.contains("did you mean `table5`"), "{error}");
    let error = place.run("reproduce collect --out nowhere").fails(2);
    assert!(error.contains("holds no plan"), "{error}");
    for budget in ["soon", "30"] {
        let ran = place.run(&format!("reproduce table5 --budget {budget}"));
        assert!(
            ran.code == Some(2) && ran.err.contains("90s, 30m or 2h"),
            "{ran:?}"
        );
    }
    for (set, option) in [("training.epochs=2", "--epochs"), ("seed=3", "--seeds")] {
        let error = place
            .run(&format!("reproduce table5 --set {set} --dry-run"))
            .fails(2);
        assert!(error.contains(option), "{error}");
    }
    assert_eq!(place.run("reproduce table5 --epochs 0").code, Some(2));
    let listed = place.run("reproduce list").ok().out;
    for name in [
        "table1", "table8", "fig2", "fig16", "s6.10", "systems", "all",
    ] {
        assert!(listed.lines().any(|line| line.starts_with(name)), "{name}");
    }
    // Data that are not there and have no stand-in are named, and nothing is made up.
    let ran = place.run("reproduce s6.10 --out d --threads 1");
    assert!(
        ran.err.contains(
            "error: s6.10: nothing of it can be run: ProtoVAE (ResNet-18), celeba: not run"
        ),
        "{ran:?}"
    );
    assert!(
        ran.code == Some(1) && !ran.out.contains("98.2 |"),
        "{ran:?}"
    );
    let error = place.run("reproduce table5 --data-dir d/none").fails(2);
    assert!(error.contains("d/none: there is no such folder"), "{error}");
    for option in ["--task 3", "--commands", "--budget 5m", "--set seed=1"] {
        let error = place.run(&format!("reproduce collect --out d {option}"));
        let error = error.fails(2);
        assert!(error.contains("runs nothing"), "{error}");
    }
    place.write("file", "");
    let error = place.run("reproduce table5 --out file").fails(2);
    assert!(error.contains("file: it is a file"), "{error}");
    // Tables of settings train nothing.
    let ran = place.run("reproduce table2 --out d").ok();
    assert!(
        ran.out.contains("| epochs, cifar-10 | 36 | 36 |"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains("differs"), "{}", ran.out);
}
