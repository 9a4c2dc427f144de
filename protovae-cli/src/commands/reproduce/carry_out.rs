//! Runs one after the other, as tasks of a job array, or as commands.

use std::path::Path;

use protovae_core::train::write_atomically;
use serde_json::json;

use super::{Work, stored};
use crate::error::{CliError, Result};
use crate::files;
use crate::output::shell_word;
use crate::reproduce::items::Item;
use crate::reproduce::plan::{Plan, Task, duration};
use crate::reproduce::slurm;

impl Work<'_> {
    pub(super) fn carry_out(&self, item: &Item, plan: &Plan) -> Result<()> {
        let tasks = plan.tasks();
        let mut done = 0;
        for task in &tasks {
            done += usize::from(self.pool.finished(task)?.is_some());
        }
        self.voice.note(format!(
            "{}: {}; {} runs, {done} of them done; about {}",
            item.name,
            item.about,
            tasks.len(),
            duration(plan.estimated_seconds)
        ));
        for change in &plan.changes {
            self.voice.note(format!("note: {change}"));
        }
        if self.arguments.dry_run {
            for task in &tasks {
                self.voice.line(self.command_apart(task)?)?;
            }
            return self.voice.object(&serde_json::to_value(plan)?);
        }
        let folder = self.folder(item);
        if self.arguments.commands {
            for number in 0..tasks.len() {
                let mut words = self.own_command(item)?;
                words.extend(["--task".to_string(), number.to_string()]);
                let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
                let command = words.join(" ");
                self.voice.object(&json!({"command": command}))?;
                self.voice.line(command)?;
            }
            return Ok(());
        }
        if self.arguments.slurm {
            return self.submit(item, tasks.len(), &folder);
        }
        for (number, task) in tasks.iter().enumerate() {
            if self.pool.finished(task)?.is_some() {
                continue;
            }
            self.voice.note(format!(
                "run {} of {}: {}",
                number + 1,
                tasks.len(),
                self.command(task)
            ));
            match self.pool.run(task, self.voice) {
                // The others are worth having all the same; the table says that this one is not there.
                Err(CliError::Core(error @ protovae_core::Error::NotFinite { .. })) => {
                    self.voice.note(format!("warning: {error}"));
                }
                other => drop(other?),
            }
            // What is there can be looked at while the rest goes on.
            let results = self.gather(item, plan)?;
            self.write_tables(item, &results)?;
        }
        let mut results = self.gather(item, plan)?;
        self.write(item, plan, &mut results)?;
        self.show(&results)
    }

    /// One run of the plans that were stored for a job array.
    pub(super) fn task(&mut self, items: &[Item], number: usize) -> Result<()> {
        let [item] = items else {
            return Err(CliError::Usage(
                "--task: name one item, not all".to_string(),
            ));
        };
        let plan = match stored(&self.folder(item))? {
            Some(plan) => plan,
            None => self.plan(item)?,
        };
        let tasks = plan.tasks();
        let task = tasks.get(number).ok_or_else(|| {
            CliError::Usage(format!(
                "--task {number}: {} has {} runs, numbered from 0",
                item.name,
                tasks.len()
            ))
        })?;
        match self.pool.run(task, self.voice)? {
            Some(finished) => {
                self.voice.object(&serde_json::to_value(&finished)?)?;
                self.voice.line(format!(
                    "{}: {:.2} %",
                    finished.run,
                    100.0 * finished.accuracy
                ))
            }
            None => Ok(()),
        }
    }

    /// The command that makes the same run without `reproduce`.
    pub(super) fn command(&self, task: &Task) -> String {
        let mut words = ["protovae", "train", "--preset", &task.wanted.preset]
            .map(str::to_string)
            .to_vec();
        for set in &task.wanted.set {
            words.extend(["--set".to_string(), set.clone()]);
        }
        words.extend(["--epochs".to_string(), task.wanted.epochs.to_string()]);
        words.extend(["--seed".to_string(), task.seed.to_string()]);
        let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        words.join(" ")
    }

    /// The same, into a folder of its own.
    fn command_apart(&self, task: &Task) -> Result<String> {
        let path = self.pool.path(task)?;
        let name = path.file_name().unwrap_or_default();
        let mut words = vec![
            self.command(task),
            "--out".to_string(),
            shell_word(&format!("runs/{}", name.to_string_lossy())),
        ];
        if let Some(folder) = &self.arguments.data_dir {
            words.push("--data-dir".to_string());
            words.push(shell_word(&folder.display().to_string()));
        }
        Ok(words.join(" "))
    }

    /// This program again, for one run of an item.
    pub(super) fn own_command(&self, item: &Item) -> Result<Vec<String>> {
        let absolute =
            |path: &Path| -> Result<String> { Ok(files::absolute(path)?.display().to_string()) };
        let mut words = vec![
            std::env::current_exe()
                .map_err(CliError::Program)?
                .display()
                .to_string(),
            "reproduce".to_string(),
            item.name.clone(),
            "--out".to_string(),
            absolute(&self.arguments.out)?,
            "--device".to_string(),
            self.arguments.device.device.to_string(),
        ];
        if let Some(threads) = self.arguments.device.threads {
            words.extend(["--threads".to_string(), threads.to_string()]);
        }
        if let Some(folder) = &self.arguments.data_dir {
            words.extend(["--data-dir".to_string(), absolute(folder)?]);
        }
        Ok(words)
    }

    pub(super) fn submit(&self, item: &Item, tasks: usize, folder: &Path) -> Result<()> {
        let folder = files::absolute(folder)?;
        let script = slurm::script(
            &item.name,
            tasks,
            &folder,
            &self.own_command(item)?,
            &self.arguments.sbatch,
        );
        let path = folder.join("array.sbatch");
        write_atomically(&path, script.as_bytes())?;
        let sent = std::process::Command::new("sbatch").arg(&path).output();
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) => {
                return Err(CliError::Usage(format!(
                    "--slurm: sbatch cannot be started ({error}); the script is {}, and --commands prints the runs for any other \
                     scheduler",
                    path.display()
                )));
            }
        };
        let said = String::from_utf8_lossy(if sent.status.success() {
            &sent.stdout
        } else {
            &sent.stderr
        });
        if !sent.status.success() {
            return Err(CliError::Read {
                path,
                source: std::io::Error::other(format!("sbatch refused it: {}", said.trim())),
            });
        }
        self.voice.line(said.trim())?;
        self.voice.line(format!(
            "when it is done: protovae reproduce collect --out {}",
            self.arguments.out.display()
        ))
    }
}
