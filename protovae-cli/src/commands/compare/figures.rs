//! The paper's Figures 4 to 8, of any runs.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use protovae_explain::pictures::{Panel, PanelCell, PanelRow, image_pictures, save_png};
use protovae_explain::views::Neighbours;

use super::Run;
use super::prototypes::{Shown, enlarged, of};
use crate::error::{CliError, Result};
use crate::tables;

/// The classes of the paper's Figures 4, 5 and 6.
const PAPER_CLASSES: [&str; 3] = ["lion", "banana", "carrot"];

/// Prototypes a row.
const MOST: usize = 10;

/// A run and its prototypes.
struct System<'a> {
    run: &'a Run,
    shown: Vec<Shown>,
}

impl System<'_> {
    fn of_class(&self, class: usize) -> &[Shown] {
        let per_class = self.shown.len() / self.run.card.class_names.len().max(1);
        self.shown
            .get(class * per_class..(class + 1) * per_class)
            .unwrap_or_default()
    }

    /// Whether its prototypes are parts of training images.
    fn of_patches(&self) -> bool {
        self.shown.iter().any(|shown| shown.region.is_some())
    }

    fn decodes(&self) -> bool {
        let model = &self.run.model;
        model
            .prototypes()
            .is_some_and(|bank| model.valid().decode(bank.vectors).is_some())
    }
}

/// Writes the figures of the first run's data set and gives their files.
pub fn draw(
    runs: &[Run],
    classes: &[String],
    folder: &Path,
    device: &Device,
) -> Result<Vec<PathBuf>> {
    let Some(first) = runs.first() else {
        return Ok(Vec::new());
    };
    let mut systems: Vec<System> = Vec::new();
    for run in runs.iter().filter(|run| run.data.name == first.data.name) {
        // One run speaks for all seeds of a system.
        if systems.iter().any(|system| system.run.system == run.system) {
            continue;
        }
        if let Some(shown) = of(run, device)? {
            systems.push(System { run, shown });
        }
    }
    if systems.is_empty() {
        return Err(CliError::Usage(format!(
            "--figures: none of these runs on {} has prototypes that can be shown",
            first.data.name
        )));
    }
    let classes = chosen(&first.card.class_names, classes)?;
    fs::create_dir_all(folder).map_err(|source| CliError::Read {
        path: folder.to_path_buf(),
        source,
    })?;
    let enlargement = (84 / first.data.shape.height.max(1)).clamp(1, 3) as u32;
    let mut written = Vec::new();
    let mut save = |name: String, panel: Panel| -> Result<()> {
        let path = folder.join(name);
        save_png(&panel.draw()?, &path)?;
        written.push(path);
        Ok(())
    };
    for (number, class) in classes.iter().enumerate() {
        let name = &first.card.class_names[*class];
        save(
            format!("figure-{}-{}.png", number + 4, file_name(name)),
            prototypes_of_a_class(&systems, *class, name, enlargement),
        )?;
    }
    let patches = systems.iter().find(|system| system.of_patches());
    let decoded = systems.iter().find(|system| system.decodes());
    if let (Some(patches), Some(decoded)) = (patches, decoded) {
        save(
            "figure-7.png".to_string(),
            patch_or_image(patches, decoded, &classes, enlargement),
        )?;
        save(
            "figure-8.png".to_string(),
            projected_or_decoded(patches, decoded, &classes, enlargement, device)?,
        )?;
    }
    Ok(written)
}

/// The classes to show, by number.
fn chosen(names: &[String], wanted: &[String]) -> Result<Vec<usize>> {
    let position = |wanted: &str| names.iter().position(|name| name == wanted);
    if wanted.is_empty() {
        let paper: Option<Vec<usize>> = PAPER_CLASSES.iter().map(|name| position(name)).collect();
        return Ok(paper.unwrap_or_else(|| (0..names.len().min(3)).collect()));
    }
    if wanted.len() > 3 {
        return Err(CliError::Usage(
            "--classes: Figures 4 to 6 show one class each, so three at most".to_string(),
        ));
    }
    let number = |wanted: &String| {
        position(wanted).ok_or_else(|| {
            CliError::Usage(format!(
                "--classes: there is no class `{wanted}`; there are {}",
                names.join(", ")
            ))
        })
    };
    wanted.iter().map(number).collect()
}

fn file_name(class: &str) -> String {
    let plain = |letter: char| match letter.is_alphanumeric() {
        true => letter,
        false => '-',
    };
    class.chars().map(plain).collect()
}

/// Figures 4 to 6: a row a system.
fn prototypes_of_a_class(systems: &[System], class: usize, name: &str, enlargement: u32) -> Panel {
    let row = |system: &System| PanelRow {
        label: system.run.system.clone(),
        cells: system
            .of_class(class)
            .iter()
            .take(MOST)
            .map(|shown| PanelCell::new(shown.boxed(enlargement), ""))
            .collect(),
    };
    Panel {
        title: format!("Prototypes of {name}"),
        rows: systems.iter().map(row).collect(),
        ..Panel::default()
    }
}

/// Figure 7: a patch without its image beside whole images.
fn patch_or_image(
    patches: &System,
    decoded: &System,
    classes: &[usize],
    enlargement: u32,
) -> Panel {
    let names = &patches.run.card.class_names;
    let rows = classes.iter().filter_map(|class| {
        let patch = patches.of_class(*class).first()?;
        let image = decoded.of_class(*class).first()?;
        Some(PanelRow {
            label: names.get(*class)?.clone(),
            cells: vec![
                PanelCell::new(patch.boxed(enlargement), ""),
                PanelCell::new(patch.part(enlargement), ""),
                PanelCell::new(image.boxed(enlargement), ""),
            ],
        })
    });
    Panel {
        title: "Patches and images as explanations".to_string(),
        headings: vec![
            format!("{}: image", patches.run.model.kind()),
            "its patch".to_string(),
            decoded.run.model.kind().to_string(),
        ],
        rows: rows.collect(),
        ..Panel::default()
    }
}

/// Figure 8: prototypes projected onto training images beside decoded ones with the training image nearest to each.
fn projected_or_decoded(
    patches: &System,
    decoded: &System,
    classes: &[usize],
    enlargement: u32,
    device: &Device,
) -> Result<Panel> {
    let dataset = decoded.run.data.train.as_ref();
    let table = tables::latent_table(&decoded.run.model, dataset, device)?;
    let neighbours = Neighbours::of(&table, 1);
    let per_class = decoded.shown.len() / decoded.run.card.class_names.len().max(1);
    let mut rows = Vec::new();
    for class in classes {
        let (Some(patch), Some(image)) = (
            patches.of_class(*class).first(),
            decoded.of_class(*class).first(),
        ) else {
            continue;
        };
        let nearest = neighbours
            .nearest
            .get(class * per_class)
            .and_then(|list| list.first());
        let nearest = match nearest {
            Some(nearest) => {
                let (images, _) = tables::images(dataset, &[nearest.image], device)?;
                let picture = image_pictures(images, 1)?.into_iter().next();
                picture.map_or_else(PanelCell::empty, |picture| {
                    PanelCell::new(enlarged(&picture, enlargement), "")
                })
            }
            None => PanelCell::empty(),
        };
        let names = &decoded.run.card.class_names;
        rows.push(PanelRow {
            label: names.get(*class).cloned().unwrap_or_default(),
            cells: vec![
                PanelCell::new(patch.boxed(enlargement), ""),
                PanelCell::new(image.boxed(enlargement), ""),
                nearest,
            ],
        });
    }
    Ok(Panel {
        title: "Projected and decoded prototypes".to_string(),
        headings: vec![
            format!("{}, projected", patches.run.model.kind()),
            format!("{}, decoded", decoded.run.model.kind()),
            "nearest image".to_string(),
        ],
        rows,
        ..Panel::default()
    })
}
