//! `protovae report`: one page that loads nothing and runs nothing, whatever names a user's classes have.

use super::support::{Place, settings};

/// Names that would be markup if they were not escaped.
const HOSTILE: [&str; 3] = [
    "<img src=x onerror=alert(1)>",
    "\"><script>alert(2)</script>",
    "cat & dog's",
];

/// Everything between `<` and `>` in a page.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<')
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
}

/// A tag without the values of its attributes.
fn bare(tag: &str) -> String {
    tag.split('"').step_by(2).collect()
}

pub fn is_inert(page: &str) {
    for tag in tags(page) {
        let lower = tag.to_lowercase();
        assert!(!lower.starts_with("script"), "{tag}");
        assert!(
            !lower.starts_with("iframe") && !lower.starts_with("object"),
            "{tag}"
        );
        assert!(!bare(&lower).contains(" on"), "{tag}");
        assert!(!lower.contains("javascript:"), "{tag}");
        for attribute in ["src=\"", "href=\""] {
            for (at, _) in lower.match_indices(attribute) {
                let value = &lower[at + attribute.len()..];
                assert!(
                    value.starts_with("data:") || value.starts_with('#'),
                    "{tag}"
                );
            }
        }
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn a_page_tells_everything_about_a_run() {
    let place = Place::with_settings();
    let trained = place.run("train --config small.json --out run").ok().err;
    let before = trained.split(" parameters)").next().unwrap();
    let parameters: String = before.rsplit('(').next().unwrap().into();
    let found = place
        .run("report run --images 10 --predictions 2 --json")
        .ok()
        .object();
    assert_eq!(found["report"], "run/report.html");
    let page = String::from_utf8(place.bytes("run/report.html")).unwrap();
    assert_eq!(found["bytes"], page.len());
    assert!(page.len() < 10_000_000);
    is_inert(&page);
    for id in [
        "model",
        "training",
        "results",
        "prototypes",
        "predictions",
        "measures",
        "strangeness",
        "provenance",
    ] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    let thousands: String = parameters
        .char_indices()
        .flat_map(|(at, digit)| {
            let comma = at > 0 && (parameters.len() - at).is_multiple_of(3);
            comma.then_some(',').into_iter().chain([digit])
        })
        .collect();
    assert!(
        page.contains(&format!("<dt>parameters</dt><dd>{thousands}</dd>")),
        "{thousands}"
    );
    let accuracy = 100.0 * found["accuracy"].as_f64().unwrap();
    assert!(page.contains(&format!("{accuracy:.2} %")));
    assert!(page.contains("Average Drop") && page.contains("of the evidence"));
    // Made again it is the same, and another place can be named.
    place
        .run("report run --images 10 --predictions 2 --out again.html -q")
        .ok();
    assert!(place.bytes("again.html") == page.as_bytes());

    let short = place
        .run("report run --images 0 --predictions 0 --out short.html --json")
        .ok()
        .object();
    assert!(short["bytes"].as_u64().unwrap() < found["bytes"].as_u64().unwrap());
    let page = String::from_utf8(place.bytes("short.html")).unwrap();
    assert!(!page.contains("id=\"measures\"") && !page.contains("id=\"predictions\""));
}

#[test]
fn names_of_classes_do_nothing() {
    let place = Place::new();
    for (class, name) in HOSTILE.into_iter().enumerate() {
        // A `/` cannot stand in the name of a folder.
        let folder = place.path("photos").join(name.replace('/', "\u{2044}"));
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..12 {
            let pixels = (0..16 * 16 * 3).map(|value| {
                let column = value / 3 % 16;
                if column / 5 == class {
                    200 + number
                } else {
                    20
                }
            });
            image::RgbImage::from_raw(16, 16, pixels.collect())
                .unwrap()
                .save(folder.join(format!("{number}.png")))
                .unwrap();
        }
    }
    let mut config = settings();
    config["data"] =
        serde_json::json!({"type": "image-folder", "path": "photos", "size": [16, 16]});
    config["model"]["decoder"]["start"] = serde_json::json!([4, 8, 8]);
    place.write("photos.json", config.to_string());
    place
        .run("train --config photos.json --out run --quiet")
        .ok();
    place.run("report run --images 5 --predictions 3 -q").ok();
    let page = String::from_utf8(place.bytes("run/report.html")).unwrap();
    is_inert(&page);
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(!page.contains("<img src=x"));
    assert!(page.contains("cat &amp; dog"));
}

#[test]
fn what_cannot_be_reported_is_said() {
    let place = Place::with_settings();
    place.run("report nowhere").fails(1);
    place
        .run("train --config small.json --out run --quiet")
        .ok();
    let message = place.run("report run --method magic").fails(2);
    assert!(message.contains("`occlusion`"), "{message}");
    std::fs::remove_file(place.path("run/model.safetensors")).unwrap();
    let message = place.run("report run").fails(1);
    assert!(message.contains("model.safetensors"), "{message}");
}
