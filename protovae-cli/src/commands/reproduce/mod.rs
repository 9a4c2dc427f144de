//! `protovae reproduce`.

mod carry_out;
mod outcome;
mod prepare;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::json;

use crate::args::ReproduceArgs;
use crate::error::{CliError, Result};
use crate::files::{self, create_folder, write_json};
use crate::output::Voice;
use crate::reproduce::elsewhere::Elsewhere;
use crate::reproduce::items::{self, Item};
use crate::reproduce::plan::{Cost, Plan};
use crate::reproduce::pool::Pool;
use crate::session;

pub fn run(arguments: &ReproduceArgs, voice: Voice) -> Result<()> {
    if let "list" | "collect" = arguments.name.as_str() {
        check_no_runs(arguments)?;
    }
    if arguments.name == "list" {
        return list(voice);
    }
    files::check_folder(&arguments.out)?;
    if arguments.name == "collect" {
        return collect(arguments, voice);
    }
    if let Some(folder) = arguments.data_dir.as_ref().filter(|path| !path.is_dir()) {
        // What is not there would quietly be left out of the plan, or stood in for.
        return Err(CliError::Usage(format!(
            "--data-dir {}: there is no such folder",
            folder.display()
        )));
    }
    if !arguments.with.is_empty() {
        return Err(CliError::Usage(
            "--with: only `protovae reproduce collect` takes results of other machines".to_string(),
        ));
    }
    let items = items::find(&arguments.name)?;
    let device = session::device(&arguments.device, voice)?;
    let mut work = Work {
        pool: Pool {
            root: arguments.out.clone(),
            data_dir: arguments.data_dir.clone(),
            device: arguments.device,
        },
        arguments,
        device,
        data: BTreeMap::new(),
        costs: BTreeMap::new(),
        elsewhere: Elsewhere::default(),
        voice,
    };
    if let Some(number) = arguments.task {
        return work.task(&items, number);
    }
    let mut plans = Vec::new();
    for item in &items {
        plans.push(match item.settings {
            Some(_) => Plan::new(item, 1),
            None => work.plan(item)?,
        });
    }
    work.keep_to_budget(&mut plans)?;
    if !arguments.dry_run {
        // All of them before the first run, so that the same command finds them when it is repeated.
        for (item, plan) in items.iter().zip(&plans) {
            work.store(item, plan)?;
        }
    }
    for (item, plan) in items.iter().zip(&plans) {
        match item.settings {
            Some(number) => work.settings(item, number)?,
            None => work.carry_out(item, plan)?,
        }
    }
    match (items.as_slice(), plans.as_slice()) {
        ([item], [plan]) if !item.cells.is_empty() && plan.cells.is_empty() => {
            Err(CliError::NothingToRun {
                item: item.name.clone(),
                reasons: plan.changes.join("; "),
            })
        }
        _ => Ok(()),
    }
}

/// Refuses options that say how something is run, where nothing is.
fn check_no_runs(arguments: &ReproduceArgs) -> Result<()> {
    let named = [
        ("--task", arguments.task.is_some()),
        ("--commands", arguments.commands),
        ("--slurm", arguments.slurm),
        ("--dry-run", arguments.dry_run),
        ("--budget", arguments.budget.is_some()),
        ("--epochs", arguments.epochs.is_some()),
        ("--set", !arguments.set.is_empty()),
    ];
    match named.iter().find(|(_, named)| *named) {
        Some((option, _)) => Err(CliError::Usage(format!(
            "{option}: `reproduce {}` runs nothing; name what is to be run, such as table5",
            arguments.name
        ))),
        None => Ok(()),
    }
}

fn list(voice: Voice) -> Result<()> {
    for item in items::all() {
        voice.object(&json!({"name": item.name, "about": item.about, "runs": item.cells.len()}))?;
        voice.line(format!("{:<11} {}", item.name, item.about))?;
    }
    voice.line("all         everything")
}

/// Gathers the results of every plan in the folder.
fn collect(arguments: &ReproduceArgs, voice: Voice) -> Result<()> {
    let mut found = 0;
    for item in items::all() {
        let folder = arguments.out.join(&item.name);
        let Some(plan) = stored(&folder)? else {
            continue;
        };
        found += 1;
        let work = Work {
            pool: Pool {
                root: arguments.out.clone(),
                data_dir: arguments.data_dir.clone(),
                device: arguments.device,
            },
            arguments,
            device: session::device(&arguments.device, voice)?,
            data: BTreeMap::new(),
            costs: BTreeMap::new(),
            elsewhere: Elsewhere::read(&arguments.with)?,
            voice,
        };
        let mut results = work.gather(&item, &plan)?;
        work.write(&item, &plan, &mut results)?;
        work.show(&results)?;
    }
    if found == 0 {
        return Err(CliError::Usage(format!(
            "{} holds no plan; the command that made its runs, with --commands in place of --task, writes one",
            arguments.out.display()
        )));
    }
    Ok(())
}

/// The plan that a folder of an item holds.
fn stored(folder: &Path) -> Result<Option<Plan>> {
    let path = folder.join("plan.json");
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            CliError::Core(protovae_core::Error::Damaged {
                path,
                reason: error.to_string(),
            })
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::Read { path, source }),
    }
}

/// A data set that is there.
#[derive(Debug, Clone)]
struct Found {
    /// Another than the one asked for if it is not that as published.
    name: String,
    /// Images for training and testing.
    images: [usize; 2],
}

/// What is there of a data set, or why it is not.
type There = std::result::Result<Found, String>;

/// Everything that carrying out a plan needs.
struct Work<'a> {
    pool: Pool,
    arguments: &'a ReproduceArgs,
    device: Device,
    /// By configuration of the data.
    data: BTreeMap<String, There>,
    /// By what is trained, whatever the epochs.
    costs: BTreeMap<(String, Vec<String>), Cost>,
    /// What other machines made.
    elsewhere: Elsewhere,
    voice: Voice,
}

impl Work<'_> {
    /// Writes a plan with runs into its item's folder.
    fn store(&self, item: &Item, plan: &Plan) -> Result<()> {
        if item.settings.is_some() {
            return Ok(());
        }
        let folder = self.folder(item);
        create_folder(&folder)?;
        let path = folder.join("plan.json");
        write_json(&path, plan)
    }

    fn folder(&self, item: &Item) -> PathBuf {
        self.arguments.out.join(&item.name)
    }
}
