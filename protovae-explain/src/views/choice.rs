//! Which prototypes are to be explained.

use protovae_core::{Error, Result};

use super::Evidence;

/// Some of the prototypes of a bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrototypeChoice {
    /// Those that add most to the logit of the predicted class, at most so many.
    Top(usize),
    /// All of them, in the order of the bank.
    All,
    /// These rows of the bank.
    Rows(Vec<usize>),
}

impl PrototypeChoice {
    /// Reads `topN`, `all`, or `K:J[,K:J...]`, prototype J (from 0) of class K: a name, or a number from 0.
    ///
    /// ```
    /// use protovae_explain::views::PrototypeChoice;
    /// let classes = ["cat".to_string(), "dog".to_string()];
    /// assert_eq!(PrototypeChoice::parse("top3", &classes, 5)?, PrototypeChoice::Top(3));
    /// assert_eq!(PrototypeChoice::parse("dog:1,0:4", &classes, 5)?, PrototypeChoice::Rows(vec![6, 4]));
    /// # Ok::<(), protovae_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for anything else, and for classes and prototypes that do not exist.
    pub fn parse(text: &str, class_names: &[String], per_class: usize) -> Result<Self> {
        let wrong = |reason: String| Error::config("prototypes", reason);
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(count) = text
            .strip_prefix("top")
            .and_then(|count| count.parse().ok())
        {
            return match count {
                0 => Err(wrong("`top0` names no prototype".to_string())),
                count => Ok(Self::Top(count)),
            };
        }
        let row = |text: &str| {
            // A class may have a colon in its name.
            let (class, index) = text.rsplit_once(':').ok_or_else(|| {
                wrong(format!(
                    "`{text}` is none of `topN`, `all` and `CLASS:NUMBER`"
                ))
            })?;
            let named = class_names.iter().position(|name| name == class);
            let numbered = || {
                class
                    .parse()
                    .ok()
                    .filter(|class| *class < class_names.len())
            };
            let class = named
                .or_else(numbered)
                .ok_or_else(|| wrong(format!("there is no class `{class}`")))?;
            match index.parse::<usize>() {
                Ok(index) if index < per_class => Ok(class * per_class + index),
                _ => Err(wrong(format!(
                    "`{text}`: a class has prototypes 0 to {}",
                    per_class.saturating_sub(1)
                ))),
            }
        };
        text.split(',')
            .map(row)
            .collect::<Result<_>>()
            .map(Self::Rows)
    }

    /// The rows, given the evidence of the prediction.
    pub fn rows(&self, evidence: &Evidence) -> Vec<usize> {
        match self {
            Self::Top(count) => {
                let best = evidence.contributions.iter().take(*count);
                best.map(|each| each.prototype).collect()
            }
            Self::All => (0..evidence.contributions.len()).collect(),
            Self::Rows(rows) => rows.clone(),
        }
    }
}
