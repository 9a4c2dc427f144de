//! Which key of a configuration an error is about.
//!
//! serde names the full path only down to the first plugin: those are read from a buffer, where the path is lost. So the
//! places that the message may mean are tried out: the one is right whose change shows up in the message.

use serde_json::Value;

use crate::suggest;

/// A key or text that no configuration has.
const MARK: &str = "\u{1}";

/// Rewrites a serde message so that it names the whole path and the nearest right name.
///
/// `path` is as far as serde knows it; `read` gives the message that another configuration would cause.
pub fn explain(
    value: &Value,
    path: &str,
    message: &str,
    read: impl Fn(&Value) -> Option<String>,
) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let mut suggestion = String::new();
    let probe = |wanted: &dyn Fn(&str, &Value) -> bool, change: Change, expected: String| {
        let mut places = Vec::new();
        collect(value, &mut Vec::new(), wanted, &mut places);
        places.into_iter().find(|place| {
            let mut changed = value.clone();
            change(&mut changed, place);
            read(&changed).as_deref() == Some(expected.as_str())
        })
    };
    let found = if message.starts_with("unknown field") {
        let word = quoted.next().unwrap_or_default();
        // A plugin's name is taken off before its keys are looked at.
        suggestion = suggest::did_you_mean(word, &quoted.chain(["type"]).collect::<Vec<_>>());
        let expected = message.replacen(&format!("`{word}`"), &format!("`{word}{MARK}`"), 1);
        probe(&|key, _| key == word, rename, expected)
    } else if message.starts_with("unknown variant") {
        let word = quoted.next().unwrap_or_default();
        suggestion = suggest::did_you_mean(word, &quoted.collect::<Vec<_>>());
        let expected = message.replacen(&format!("`{word}`"), &format!("`{MARK}`"), 1);
        probe(&|_, inner| inner == word, replace, expected)
    } else if let Some((found, expected)) = wrong_value(message) {
        let marked = format!("invalid type: string {MARK:?}, expected {expected}");
        probe(&|_, inner| describe(inner) == found, replace, marked)
    } else {
        None
    };
    // serde knows a plugin by its Rust type only.
    let message = match message.split_once(", expected dyn ") {
        Some((start, _)) => &format!("{start}, expected an object with a `type`"),
        None => message,
    };
    let place = found.map_or_else(|| path.to_string(), |place| place.join("."));
    if place == "." {
        format!("{message}{suggestion}")
    } else {
        format!("{place}: {message}{suggestion}")
    }
}

/// What was found and what was expected, of `invalid type: X, expected Y` and `invalid value: X, expected Y`.
fn wrong_value(message: &str) -> Option<(&str, &str)> {
    let rest = ["invalid type: ", "invalid value: "];
    let rest = rest.iter().find_map(|start| message.strip_prefix(start))?;
    rest.rsplit_once(", expected ")
}

/// A value as serde's messages call it.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(value) => format!("boolean `{value}`"),
        Value::Number(value) if value.is_f64() => format!("floating point `{value}`"),
        Value::Number(value) => format!("integer `{value}`"),
        Value::String(text) => format!("string {text:?}"),
        Value::Array(_) => "sequence".to_string(),
        Value::Object(_) => "map".to_string(),
    }
}

/// All paths whose last key and value are `wanted`.
fn collect(
    value: &Value,
    path: &mut Vec<String>,
    wanted: &dyn Fn(&str, &Value) -> bool,
    found: &mut Vec<Vec<String>>,
) {
    let mut visit = |key: String, inner: &Value| {
        path.push(key);
        if path.last().is_some_and(|key| wanted(key, inner)) {
            found.push(path.clone());
        }
        collect(inner, path, wanted, found);
        path.pop();
    };
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(key, inner)| visit(key.clone(), inner)),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(index, inner)| visit(index.to_string(), inner));
        }
        _ => {}
    }
}

/// Changes the place at a path.
type Change = fn(&mut Value, &[String]);

fn replace(value: &mut Value, path: &[String]) {
    if let Some(inner) = at(value, path) {
        *inner = Value::String(MARK.to_string());
    }
}

fn rename(value: &mut Value, path: &[String]) {
    let Some((key, above)) = path.split_last() else {
        return;
    };
    if let Some(Value::Object(map)) = at(value, above)
        && let Some(inner) = map.remove(key)
    {
        map.insert(format!("{key}{MARK}"), inner);
    }
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(map) => map.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}
