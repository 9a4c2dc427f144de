//! What is there of a plan: tables, pictures, the page.

use std::collections::BTreeMap;

use protovae_core::train::write_atomically;
use protovae_explain::report::{Chart, Picture, Sheet, SheetTable};
use serde_json::json;

use super::Work;
use crate::error::Result;
use crate::files::{create_folder, write_json};
use crate::output::Voice;
use crate::reproduce::findings::Bench;
use crate::reproduce::items::{Item, Wanted};
use crate::reproduce::pictures::{Easel, Shown, open};
use crate::reproduce::plan::{Plan, Task};
use crate::reproduce::pool::Finished;
use crate::reproduce::results::{CellResult, Results};
use crate::reproduce::settings;

impl Work<'_> {
    /// What is there of a plan.
    pub(super) fn gather(&self, item: &Item, plan: &Plan) -> Result<Results> {
        let mut cells = Vec::new();
        let here = self.pool.machine();
        let mut machines: Vec<String> = Vec::new();
        // Names of what is not whole, by the number of runs that are there.
        let mut short: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for cell in &plan.cells {
            let mut runs = Vec::new();
            for seed in 0..plan.seeds {
                let task = Task {
                    seed,
                    wanted: cell.wanted.clone(),
                };
                runs.extend(self.pool.finished(&task)?);
            }
            let first = self.command(&Task {
                seed: 0,
                wanted: cell.wanted.clone(),
            });
            // Runs that were made before they knew where are taken to have been made here.
            let mut made_on: Vec<String> = runs
                .iter()
                .map(|run: &Finished| run.machine.clone().unwrap_or_else(|| here.clone()))
                .collect();
            let stand_in = cell.wanted.stand_in.as_deref();
            let others = self
                .elsewhere
                .complete(&first, plan.seeds, stand_in, &mut runs);
            made_on.extend(others);
            for machine in made_on {
                if !machines.contains(&machine) {
                    machines.push(machine);
                }
            }
            if runs.len() < plan.seeds as usize {
                let name = format!("{} on {}", cell.row, cell.column);
                short.entry(runs.len()).or_default().push(name);
            }
            cells.push(CellResult::new(
                &cell.row,
                &cell.column,
                first,
                cell.wanted.epochs,
                runs,
                cell.reported,
                cell.changed,
            ));
        }
        let changes = short.iter().map(|(done, names)| {
            let names = match names.len() == plan.cells.len() {
                true => "everything".to_string(),
                false => names.join("; "),
            };
            format!("{done} of {} runs are done of {names}", plan.seeds)
        });
        let changes = changes.collect();
        let machine = match machines.is_empty() {
            true => here,
            false => machines.join("; "),
        };
        Ok(Results::of(plan, &item.about, machine, changes, cells))
    }

    pub(super) fn write_tables(&self, item: &Item, results: &Results) -> Result<()> {
        let folder = self.folder(item);
        write_json(&folder.join("results.json"), results)?;
        write_atomically(&folder.join("table.md"), results.markdown().as_bytes())?;
        write_atomically(&folder.join("table.csv"), results.csv().as_bytes())?;
        write_atomically(&folder.join("epochs.md"), results.course().as_bytes())?;
        Ok(())
    }

    /// Measures what is to be measured on the runs, and writes tables, pictures and the page.
    pub(super) fn write(&self, item: &Item, plan: &Plan, results: &mut Results) -> Result<()> {
        let folder = self.folder(item);
        if let Some(findings) = item.findings {
            results.measured = findings.of(
                results,
                &Bench {
                    pool: &self.pool,
                    voice: self.voice,
                },
            )?;
        }
        self.write_tables(item, results)?;
        for measured in &results.measured {
            if let Some(svg) = measured.svg()? {
                let path = folder.join(format!("{}-{}.svg", item.name, measured.name));
                write_atomically(&path, svg.as_bytes())?;
                self.voice.note(format!("wrote {}", path.display()));
            }
        }
        let mut pictures = Vec::new();
        if let Some(figure) = item.pictures {
            let mut shown = Vec::new();
            let cells = plan.cells.iter().zip(&results.cells);
            for (cell, result) in cells.filter(|(cell, _)| item.draws(cell)) {
                let mut runs = result.runs.iter().map(|run| self.pool.folder(run));
                if let Some(run) = runs.find(|folder| folder.is_dir()) {
                    shown.push(Shown {
                        run,
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
        let page = sheet(results, pictures)?.to_html();
        write_atomically(&folder.join("page.html"), page.as_bytes())?;
        Ok(())
    }

    pub(super) fn show(&self, results: &Results) -> Result<()> {
        self.voice.object(&serde_json::to_value(results)?)?;
        self.voice.line(results.markdown())
    }

    /// A table of settings: nothing is trained.
    pub(super) fn settings(&mut self, item: &Item, number: u8) -> Result<()> {
        let mut rows = Vec::new();
        if number == 1 {
            for facts in settings::TABLE1 {
                let wanted = Wanted {
                    preset: facts.data.to_string(),
                    set: Vec::new(),
                    epochs: 1,
                    stand_in: None,
                };
                let [train, test] = facts.samples;
                let here = match self.there(&wanted)? {
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
            create_folder(&folder)?;
            write_atomically(&folder.join("table.md"), text.as_bytes())?;
        }
        self.voice.line(text)
    }
}

fn sheet(results: &Results, pictures: Vec<Picture>) -> Result<Sheet> {
    let rows = results.cells.iter().map(|cell| {
        vec![
            format!(
                "{}, {}",
                cell.row,
                cell.data.as_deref().unwrap_or(&cell.column)
            ),
            cell.found_text(),
            cell.reported_text(),
            cell.verdict.clone(),
            cell.runs.len().to_string(),
            cell.epochs.to_string(),
        ]
    });
    let mut tables = vec![SheetTable {
        caption: "Test accuracy in per cent".to_string(),
        head: ["", "here", "the paper", "difference", "seeds", "epochs"]
            .map(String::from)
            .to_vec(),
        rows: rows.collect(),
    }];
    let mut charts = Vec::new();
    for measured in &results.measured {
        tables.push(measured.sheet());
        if let Some(chart) = measured.chart()? {
            charts.push(Chart::lines(&chart, measured.about.clone())?);
        }
    }
    Ok(Sheet {
        title: format!("{}: {}", results.item, results.about),
        subtitle: format!("{}; protovae {}", results.machine, results.version),
        warnings: results.changes.clone(),
        tables,
        charts,
        pictures,
        notes: results
            .cells
            .iter()
            .map(|cell| format!("{}, {}: {}", cell.row, cell.column, cell.command))
            .collect(),
    })
}
