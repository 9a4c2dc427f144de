//! Measures of explanations: how much a map is worth, beside a random map.
