//! `protovae reproduce`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use protovae_core::train::write_atomically;
use protovae_data::DataSplits;
use protovae_explain::report::{Picture, Sheet, SheetTable};
use serde_json::json;

use crate::args::{ConfigSource, ReproduceArgs};
use crate::commands::bench;
use crate::error::{CliError, Result};
use crate::output::Voice;
use crate::reproduce::items::{self, Item, Wanted};
use crate::reproduce::pictures::{Easel, Shown, open};
use crate::reproduce::plan::{Cost, Plan, Task, duration};
use crate::reproduce::pool::Pool;
use crate::reproduce::results::{CellResult, Results};
use crate::reproduce::{settings, slurm};
use crate::{config, machine, presets, session};

pub fn run(arguments: &ReproduceArgs, voice: Voice) -> Result<()> {
    if arguments.name == "list" {
        return list(voice);
    }
    if arguments.name == "collect" {
        return collect(arguments, voice);
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
    for (item, plan) in items.iter().zip(plans) {
        match item.settings {
            Some(number) => work.settings(item, number)?,
            None => work.carry_out(item, &plan)?,
        }
    }
    Ok(())
}

fn list(voice: Voice) -> Result<()> {
    for item in items::all() {
        voice.object(&json!({"name": item.name, "about": item.about, "runs": item.cells.len()}))?;
        voice.line(format!("{:<8} {}", item.name, item.about))?;
    }
    voice.line("all      everything")
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
            voice,
        };
        let results = work.gather(&item, &plan)?;
        work.write(&item, &plan, &results)?;
        work.show(&results)?;
    }
    if found == 0 {
        return Err(CliError::Usage(format!(
            "{} holds no plan; `protovae reproduce NAME --out {0}` makes one",
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

/// Sizes of a data set that is there, or why it is not.
type Sizes = std::result::Result<[usize; 2], String>;

/// Everything that carrying out a plan needs.
struct Work<'a> {
    pool: Pool,
    arguments: &'a ReproduceArgs,
    device: Device,
    /// By configuration of the data.
    data: BTreeMap<String, Sizes>,
    /// By what is trained, whatever the epochs.
    costs: BTreeMap<(String, Vec<String>), Cost>,
    voice: Voice,
}

impl Work<'_> {
    fn config(&self, wanted: &Wanted) -> Result<config::RunConfig> {
        let source = ConfigSource {
            preset: Some(wanted.preset.clone()),
            set: wanted.set.clone(),
            data_dir: self.arguments.data_dir.clone(),
            ..ConfigSource::default()
        };
        Ok(config::load(&source)?.config)
    }

    fn load(&self, wanted: &Wanted) -> Result<DataSplits> {
        let config = self.config(wanted)?;
        session::data(&config, self.arguments.data_dir.as_deref())
    }

    /// Training and test images of a configuration, or why there are none.
    fn sizes(&mut self, wanted: &Wanted) -> Result<Sizes> {
        let key = self.config(wanted)?.to_json()?["data"].to_string();
        if let Some(known) = self.data.get(&key) {
            return Ok(known.clone());
        }
        let found = match self.load(wanted) {
            Ok(data) => Ok([data.train.len(), data.test.len()]),
            Err(CliError::Data(error)) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        self.data.insert(key, found.clone());
        Ok(found)
    }

    /// The plan of an item on the data that are there.
    fn plan(&mut self, item: &Item) -> Result<Plan> {
        let mut plan = Plan::new(item, self.arguments.seeds);
        for cell in &mut plan.cells {
            if let Some(epochs) = self.arguments.epochs {
                if epochs != cell.wanted.epochs {
                    let change = format!("{epochs} of {} epochs, as asked", cell.wanted.epochs);
                    plan.changes.push(change);
                }
                cell.wanted.epochs = epochs;
            }
            cell.wanted.set.extend(self.arguments.set.iter().cloned());
        }
        for set in &self.arguments.set {
            plan.changes.push(format!("{set}, as asked"));
        }
        let mut kept = Vec::new();
        for mut cell in std::mem::take(&mut plan.cells) {
            match self.sizes(&cell.wanted)? {
                Ok(_) => kept.push(cell),
                Err(reason) => match stand_in(&cell.wanted) {
                    Some(other) => {
                        plan.changes.push(format!(
                            "mnist is not here ({reason}): the embedded mnist-5k stands in for it under its own name"
                        ));
                        cell.wanted = other;
                        cell.wanted.set.extend(self.arguments.set.iter().cloned());
                        if let Some(epochs) = self.arguments.epochs {
                            cell.wanted.epochs = epochs;
                        }
                        kept.push(cell);
                    }
                    None => plan.changes.push(format!(
                        "{}, {}: not run, {reason}; get the data and repeat the command",
                        cell.row, cell.column
                    )),
                },
            }
        }
        plan.cells = kept;
        let mut seen = Vec::new();
        plan.changes.retain(|change| {
            let new = !seen.contains(change);
            seen.push(change.clone());
            new
        });
        Ok(plan)
    }

    fn cost(&mut self, wanted: &Wanted) -> Result<Cost> {
        let key = (wanted.preset.clone(), wanted.set.clone());
        if let Some(cost) = self.costs.get(&key) {
            return Ok(*cost);
        }
        let sizes = self.sizes(wanted)?;
        let [train, test] = sizes.unwrap_or_default();
        let config = self.config(wanted)?;
        let spec = match presets::find(&wanted.preset)?.spec {
            spec if wanted.set.iter().all(|set| !set.starts_with("data.")) => spec,
            // Sizes and classes may be others than the preset's.
            _ => session::model_spec(&self.load(wanted)?),
        };
        let [training, evaluation] = bench::rates(config, spec, &self.device)?;
        let cost = Cost {
            epoch: train as f64 / training + test as f64 / evaluation,
            // Loading, pictures, and a pass or two over the test images.
            once: 3.0 + 3.0 * test as f64 / evaluation,
        };
        self.costs.insert(key, cost);
        Ok(cost)
    }

    /// Measures what everything costs, and shrinks plans that take longer than the budget.
    fn keep_to_budget(&mut self, plans: &mut [Plan]) -> Result<()> {
        let wanted: Vec<Wanted> = plans
            .iter()
            .flat_map(|plan| plan.cells.iter().map(|cell| cell.wanted.clone()))
            .collect();
        if !wanted.is_empty() {
            self.voice.note("measuring how fast this machine is");
        }
        for wanted in &wanted {
            self.cost(wanted)?;
        }
        let costs = &self.costs;
        let cost = |wanted: &Wanted| {
            let key = (wanted.preset.clone(), wanted.set.clone());
            costs.get(&key).copied().unwrap_or(Cost {
                epoch: 0.0,
                once: 0.0,
            })
        };
        let pool = &self.pool;
        let done = |task: &Task| matches!(pool.finished(task), Ok(Some(_)));
        let all: f64 = plans.iter().map(|plan| plan.seconds(&cost, &done)).sum();
        for plan in plans.iter_mut() {
            let own = plan.seconds(&cost, &done);
            plan.estimated_seconds = own;
            if let Some(budget) = self.arguments.budget {
                let share = budget * own / all.max(f64::MIN_POSITIVE);
                *plan = plan.clone().shrink(share, &cost, &done);
            }
        }
        Ok(())
    }

    fn folder(&self, item: &Item) -> PathBuf {
        self.arguments.out.join(&item.name)
    }

    fn carry_out(&self, item: &Item, plan: &Plan) -> Result<()> {
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
                self.voice.line(self.command(task))?;
            }
            return self
                .voice
                .object(&serde_json::to_value(plan).map_err(std::io::Error::other)?);
        }
        let folder = self.folder(item);
        fs::create_dir_all(&folder)?;
        let text = serde_json::to_vec_pretty(plan).map_err(std::io::Error::other)?;
        write_atomically(&folder.join("plan.json"), &text)?;
        if self.arguments.commands {
            for number in 0..tasks.len() {
                let mut words = self.own_command(item)?;
                words.extend(["--task".to_string(), number.to_string()]);
                let words: Vec<String> = words.iter().map(|word| slurm::quoted(word)).collect();
                self.voice.line(words.join(" "))?;
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
        let results = self.gather(item, plan)?;
        self.write(item, plan, &results)?;
        self.show(&results)
    }

    /// One run of the plans that were stored for a job array.
    fn task(&mut self, items: &[Item], number: usize) -> Result<()> {
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
                self.voice
                    .object(&serde_json::to_value(&finished).map_err(std::io::Error::other)?)?;
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
    fn command(&self, task: &Task) -> String {
        let mut words = ["protovae", "train", "--preset", &task.wanted.preset]
            .map(str::to_string)
            .to_vec();
        for set in &task.wanted.set {
            words.extend(["--set".to_string(), set.clone()]);
        }
        words.extend(["--epochs".to_string(), task.wanted.epochs.to_string()]);
        words.extend(["--seed".to_string(), task.seed.to_string()]);
        let words: Vec<String> = words.iter().map(|word| slurm::quoted(word)).collect();
        words.join(" ")
    }

    /// This program again, for one run of an item.
    fn own_command(&self, item: &Item) -> Result<Vec<String>> {
        let absolute = |path: &Path| -> Result<String> {
            Ok(std::path::absolute(path)?.display().to_string())
        };
        let mut words = vec![
            std::env::current_exe()?.display().to_string(),
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

    fn submit(&self, item: &Item, tasks: usize, folder: &Path) -> Result<()> {
        let folder = std::path::absolute(folder)?;
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

    /// What is there of a plan.
    fn gather(&self, item: &Item, plan: &Plan) -> Result<Results> {
        let mut cells = Vec::new();
        let mut changes = Vec::new();
        for cell in &plan.cells {
            let mut runs = Vec::new();
            for seed in 0..plan.seeds {
                let task = Task {
                    seed,
                    wanted: cell.wanted.clone(),
                };
                runs.extend(self.pool.finished(&task)?);
            }
            if runs.len() < plan.seeds as usize {
                changes.push(format!(
                    "{}, {}: {} of {} runs are done",
                    cell.row,
                    cell.column,
                    runs.len(),
                    plan.seeds
                ));
            }
            let first = Task {
                seed: 0,
                wanted: cell.wanted.clone(),
            };
            cells.push(CellResult::new(
                &cell.row,
                &cell.column,
                self.command(&first),
                cell.wanted.epochs,
                runs,
                cell.reported,
            ));
        }
        let machine = format!(
            "{}, {} threads, device {}",
            machine::processor(),
            rayon::current_num_threads(),
            self.arguments.device.device
        );
        Ok(Results::of(plan, &item.about, machine, changes, cells))
    }

    fn write_tables(&self, item: &Item, results: &Results) -> Result<()> {
        let folder = self.folder(item);
        let json = serde_json::to_string_pretty(results).map_err(std::io::Error::other)?;
        write_atomically(&folder.join("results.json"), (json + "\n").as_bytes())?;
        write_atomically(&folder.join("table.md"), results.markdown().as_bytes())?;
        write_atomically(&folder.join("table.csv"), results.csv().as_bytes())?;
        Ok(())
    }

    /// Tables, pictures and the page.
    fn write(&self, item: &Item, plan: &Plan, results: &Results) -> Result<()> {
        self.write_tables(item, results)?;
        let folder = self.folder(item);
        let mut pictures = Vec::new();
        if let Some(figure) = item.pictures {
            let mut shown = Vec::new();
            for (cell, result) in plan.cells.iter().zip(&results.cells) {
                if let Some(run) = result.runs.first() {
                    shown.push(Shown {
                        run: self.pool.root.join("runs").join(&run.run),
                        caption: cell.row.clone(),
                    });
                }
            }
            let easel = Easel {
                folder: &folder,
                name: &item.name,
                data_dir: self.arguments.data_dir.as_deref(),
                device: self.arguments.device,
                voice: Voice {
                    mute: true,
                    ..self.voice
                },
            };
            for path in figure.draw(&shown, &easel)? {
                self.voice.note(format!("wrote {}", path.display()));
                pictures.push(Picture::new(
                    &open(&path)?,
                    format!("{}: {}", item.name, item.about),
                    "",
                )?);
            }
        }
        let page = sheet(results, pictures).to_html();
        write_atomically(&folder.join("page.html"), page.as_bytes())?;
        Ok(())
    }

    fn show(&self, results: &Results) -> Result<()> {
        self.voice
            .object(&serde_json::to_value(results).map_err(std::io::Error::other)?)?;
        self.voice.line(results.markdown())
    }

    /// A table of settings: nothing is trained.
    fn settings(&mut self, item: &Item, number: u8) -> Result<()> {
        let mut rows = Vec::new();
        if number == 1 {
            for facts in settings::TABLE1 {
                let wanted = Wanted {
                    preset: facts.data.to_string(),
                    set: Vec::new(),
                    epochs: 1,
                };
                let [train, test] = facts.samples;
                let here = match self.sizes(&wanted)? {
                    Ok(_) => {
                        let data = self.load(&wanted)?;
                        format!(
                            "{}: {} and {} of {}×{}",
                            data.name,
                            data.train.len(),
                            data.test.len(),
                            data.shape.height,
                            data.shape.width
                        )
                    }
                    Err(reason) => format!("not here: {reason}"),
                };
                rows.push(vec![
                    facts.data.to_string(),
                    format!(
                        "{train} and {test} of {0}×{0}, {1}",
                        facts.side, facts.licence
                    ),
                    here,
                ]);
            }
        } else {
            for setting in settings::of(number) {
                let verdict = if setting.agrees() { "" } else { " (differs)" };
                rows.push(vec![
                    format!("{}, {}", setting.what, setting.data),
                    setting.paper.clone(),
                    format!("{}{verdict}", setting.ours),
                ]);
            }
        }
        let mut text = format!(
            "# {}: {}\n\n|  | the paper | here |\n|---|---|---|\n",
            item.name, item.about
        );
        for row in &rows {
            text += &format!("| {} |\n", row.join(" | "));
        }
        if number == 1 {
            text += "\nThe paper prints 60,000 training images for CIFAR-10, which has 50,000.\n";
        }
        self.voice
            .object(&json!({"item": item.name, "about": item.about, "rows": rows}))?;
        if !self.arguments.dry_run {
            let folder = self.folder(item);
            fs::create_dir_all(&folder)?;
            write_atomically(&folder.join("table.md"), text.as_bytes())?;
        }
        self.voice.line(text)
    }
}

/// What is trained in place of something on MNIST, where MNIST is not there.
fn stand_in(wanted: &Wanted) -> Option<Wanted> {
    let preset = presets::find(&wanted.preset).ok()?;
    if preset.config["data"]["type"] != "mnist" {
        return None;
    }
    let mut other = wanted.clone();
    match wanted.preset.as_str() {
        // The settings that suit the smaller set.
        "mnist" => {
            other.preset = "mnist-5k".to_string();
            let own = presets::find(&other.preset).ok()?;
            other.epochs = own.config["training"]["epochs"].as_u64()? as usize;
        }
        _ => other.set.push("data.type=mnist-5k".to_string()),
    }
    Some(other)
}

fn sheet(results: &Results, pictures: Vec<Picture>) -> Sheet {
    let rows = results.cells.iter().map(|cell| {
        let found = cell.found.map_or_else(
            || "not run".to_string(),
            |found| match found.deviation {
                Some(deviation) => format!("{:.2} ± {deviation:.2}", found.mean),
                None => format!("{:.2}", found.mean),
            },
        );
        let paper = cell.reported.map_or_else(
            || "–".to_string(),
            |reported| match reported.deviation {
                Some(deviation) => format!("{:.1} ± {deviation:.1}", reported.percent),
                None => format!("{:.1}", reported.percent),
            },
        );
        vec![
            format!(
                "{}, {}",
                cell.row,
                cell.data.as_deref().unwrap_or(&cell.column)
            ),
            found,
            paper,
            cell.verdict.clone(),
            cell.runs.len().to_string(),
            cell.epochs.to_string(),
        ]
    });
    Sheet {
        title: format!("{}: {}", results.item, results.about),
        subtitle: format!("{}; protovae {}", results.machine, results.version),
        warnings: results.changes.clone(),
        tables: vec![SheetTable {
            caption: "Test accuracy in per cent".to_string(),
            head: ["", "here", "the paper", "difference", "seeds", "epochs"]
                .map(String::from)
                .to_vec(),
            rows: rows.collect(),
        }],
        pictures,
        notes: results
            .cells
            .iter()
            .map(|cell| format!("{}, {}: {}", cell.row, cell.column, cell.command))
            .collect(),
    }
}
