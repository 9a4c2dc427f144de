//! Standard output and the display of progress.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use protovae_core::train::{EpochRecord, Event, MetricsLine, Observer};
use serde::Serialize;

use crate::error::{CliError, Result};

/// How much is said, and in which form.
#[derive(Debug, Clone, Copy, Default)]
pub struct Voice {
    /// Nothing but results.
    pub quiet: bool,
    /// More than usual.
    pub verbose: bool,
    /// JSON on standard output.
    pub json: bool,
    /// Nothing on standard output: a part of a larger command, whose results are elsewhere.
    pub mute: bool,
}

impl Voice {
    /// Prints a line on standard output, unless JSON is asked for.
    ///
    /// # Errors
    /// If standard output is gone.
    pub fn line(&self, text: impl AsRef<str>) -> Result<()> {
        if !self.json && !self.mute {
            writeln!(std::io::stdout().lock(), "{}", text.as_ref()).map_err(CliError::Output)?;
        }
        Ok(())
    }

    /// Prints an object on standard output if JSON is asked for.
    ///
    /// # Errors
    /// If standard output is gone.
    pub fn object(&self, value: &impl Serialize) -> Result<()> {
        if self.json && !self.mute {
            let text = serde_json::to_string(value)?;
            writeln!(std::io::stdout().lock(), "{text}").map_err(CliError::Output)?;
        }
        Ok(())
    }

    /// Prints a note on standard error, unless quiet. A standard error that is gone is no reason to stop.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
        }
    }
}

/// `1 epoch`, `2 epochs`.
pub fn counted(number: usize, what: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {what}{many}")
}

/// A word as a shell takes it.
pub fn shell_word(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Prints an error on standard error.
pub fn print_error(error: &dyn std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "error: {error}");
}

/// A bar on standard error, if that is a terminal and anything is to be said.
fn bar(voice: Voice, style: &str) -> Option<ProgressBar> {
    (!voice.quiet && std::io::stderr().is_terminal()).then(|| {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar
    })
}

/// Shows the transfer of files: on a terminal as a bar, elsewhere as lines.
#[derive(Debug)]
pub struct Transfer {
    voice: Voice,
    bar: Option<ProgressBar>,
    file: String,
}

impl Transfer {
    /// A display in that voice.
    pub fn new(voice: Voice) -> Self {
        let bar = bar(
            voice,
            "{prefix} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left",
        );
        Self {
            voice,
            bar,
            file: String::new(),
        }
    }

    /// So many bytes of a file are done.
    pub fn at(&mut self, file: &str, done: u64, length: u64) {
        let another = self.file != file;
        if another {
            self.file = file.to_string();
        }
        if let Some(bar) = &self.bar {
            bar.set_length(length);
            bar.set_position(done);
            if another {
                bar.set_prefix(self.file.clone());
            }
        }
    }

    /// Something worth a line.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.voice.note(text),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows training on a terminal as a bar, elsewhere as one line an epoch.
#[derive(Debug)]
pub struct Progress {
    voice: Voice,
    bar: Option<ProgressBar>,
    epochs: usize,
}

impl Progress {
    /// A display in that voice.
    pub fn new(voice: Voice) -> Self {
        let bar = bar(
            voice,
            "{prefix} {bar:30} {pos}/{len} steps, {per_sec}, {eta} left",
        );
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        Self {
            voice,
            bar,
            epochs: 0,
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.voice.note(text),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn epoch(&self, record: &EpochRecord) {
        let terms: Vec<String> = record
            .test
            .terms
            .iter()
            .map(|(name, value)| format!("{name} {value:.4}"))
            .collect();
        let dead = record
            .prototypes
            .as_ref()
            .filter(|health| health.dead > 0)
            .map_or(String::new(), |health| {
                format!(", {} prototypes unused", health.dead)
            });
        // An epoch may be without steps.
        let (trained, speed) = record
            .train
            .of_any()
            .map_or_else(Default::default, |train| {
                (
                    format!(", train accuracy {:.2} %", 100.0 * train.accuracy),
                    format!(" ({:.0} images/s)", record.timing.images_per_second),
                )
            });
        self.say(&format!(
            "epoch {:>3}/{}: test accuracy {:.2} %{trained}, test {}{dead}{speed}",
            record.epoch,
            self.epochs,
            100.0 * record.test.accuracy,
            terms.join(", "),
        ));
        for warning in &record.warnings {
            self.say(&format!("warning: {warning}"));
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::PassedOver { damage } => self.say(&format!(
                "warning: {damage}; going on from an older checkpoint instead"
            )),
            Event::Started {
                epochs,
                steps,
                epoch,
                step_in_epoch,
                checkpoint,
            } => {
                self.epochs = *epochs;
                if let Some(path) = checkpoint {
                    self.say(&format!(
                        "resuming from {} (epoch {epoch} of {epochs} done)",
                        path.display()
                    ));
                }
                if let Some(bar) = &self.bar {
                    bar.set_length(*steps as u64);
                    bar.set_position(*step_in_epoch as u64);
                    bar.set_prefix(format!("epoch {}/{epochs}", epoch + 1));
                }
            }
            Event::Step {
                epoch,
                step_in_epoch,
                ..
            } => {
                if let Some(bar) = &self.bar {
                    bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
                    bar.set_position(*step_in_epoch as u64);
                }
            }
            Event::Metrics(line) => {
                if let MetricsLine::Epoch(record) = line {
                    self.epoch(record);
                }
                // A reader that went away must not end a training run.
                let _ = self.voice.object(line);
                if self.voice.verbose
                    && !self.voice.json
                    && let MetricsLine::Step { step, figures, .. } = line
                {
                    self.say(&format!("step {step}: {figures:?}"));
                }
            }
            _ => {}
        }
    }
}
