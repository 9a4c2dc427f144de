//! `protovae measure`.

use super::support::Place;

fn trained() -> Place {
    let place = Place::with_settings();
    place.run("train --config small.json --out run -q").ok();
    place
}

#[test]
fn measures_are_printed_and_written_with_the_random_map_beside_them() {
    let place = trained();
    let few = "measure run --method gradient-times-input --method prp --images 12";
    let ran = place.run(&format!("{few} --json --out found.json")).ok();
    assert!(ran.err.contains("measuring similarity: prp"), "{ran:#?}");
    let found = ran.object();
    assert_eq!(found["images"], 12);
    assert_eq!(found["split"], "test");
    let rows = found["table"].as_array().unwrap();
    // Three explainers, two forms, four quantities.
    assert_eq!(rows.len(), 3 * 2 * 4, "{rows:#?}");
    for row in rows {
        let random = row["explainer"] == "random";
        assert_eq!(row["difference"].is_null(), random, "{row}");
        assert_eq!(row["images"], 12);
        assert!(
            row["mean"].is_f64() && row["standard_error"].is_f64(),
            "{row}"
        );
    }
    assert_eq!(found["curves"].as_array().unwrap().len(), 6);
    assert_eq!(found["curves"][0]["scores"].as_array().unwrap().len(), 21);
    assert_eq!(found["attacks"].as_array().unwrap().len(), 5);
    assert_eq!(found["diversity"]["classes"].as_array().unwrap().len(), 10);
    assert!(found["similarity_change"]["mean"].as_f64().unwrap() > 0.0);
    assert!(
        found["measured"].is_null(),
        "values of images are for the file"
    );
    let written = place.json("found.json");
    assert_eq!(written["table"], found["table"]);
    let values = written["measured"][0]["values"].as_array().unwrap();
    let mean = values
        .iter()
        .map(|value| value.as_f64().unwrap())
        .sum::<f64>()
        / 12.0;
    assert!((mean - rows[0]["mean"].as_f64().unwrap()).abs() < 1e-12);
    assert_eq!(place.run(&format!("{few} --json -q")).ok().object(), found);

    let text = place
        .run("measure run --method prp --images 5 --measure masking --markdown -q")
        .ok();
    assert_eq!(text.err, "");
    assert!(text.out.contains("| similarity "), "{}", text.out);
    assert!(text.out.contains("Average Drop ↓"), "{}", text.out);
    assert!(!text.out.contains("Ordering area"), "{}", text.out);
    let least = place
        .run("measure run --method prp --images 5 --measure masking --keep least -q")
        .ok();
    assert!(
        least.out.contains("Average Drop, least kept ↑"),
        "{}",
        least.out
    );
    for (noise, words) in [
        ("", "pixels of the measured images"),
        ("--noise uniform", "noise uniform over the range of pixels"),
    ] {
        let ordering = "measure run --method prp --images 5 --measure ordering -q";
        let out = place.run(&format!("{ordering} {noise}")).ok().out;
        assert!(out.contains(words), "{out}");
    }
    let other = place.run("measure run --method prp --images 12 --measure masking --seed 1 --json");
    assert_ne!(other.ok().object()["table"][0], rows[0]);
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = trained();
    let message = place.run("measure run --method magic").fails(2);
    assert!(
        message.contains("`magic`") && message.contains("`occlusion`"),
        "{message}"
    );
    place.run("measure run --images 0").fails(2);
    let ran = place.run("measure run --measure magic");
    assert_eq!(ran.code, Some(2), "{ran:#?}");
    assert!(ran.err.contains("robustness"), "{ran:#?}");
    place.run("measure nowhere").fails(1);
    let ran = place
        .run("measure run --method random --measure ordering --images 200")
        .ok();
    assert!(ran.err.contains("only 100 test images"), "{ran:#?}");
}
