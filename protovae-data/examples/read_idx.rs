//! Reads images and labels in MNIST's format and shows one: a file of yours, or one written from the embedded digits.
//!
//! ```console
//! cargo run -p protovae-data --example read_idx
//! cargo run -p protovae-data --example read_idx -- train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};

use protovae_data::{DataConfig, DataSearch, Mnist5kConfig, idx};

fn main() -> Result<(), Box<dyn Error>> {
    let named: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let folder = std::env::temp_dir().join(format!("read-idx-{}", std::process::id()));
    let (images, labels) = match &named[..] {
        [images, labels] => (images.clone(), labels.clone()),
        _ => write(&folder)?,
    };

    let found = idx::read_images(&images)?;
    let classes = idx::read_labels(&labels, 10)?;
    println!("{} images of {}×{}", found.count, found.height, found.width);
    if let (Some(class), Some(first)) = (
        classes.first(),
        found.pixels.get(..found.height * found.width),
    ) {
        println!("the first is a {class}:");
        for row in first.chunks(found.width).step_by(2) {
            let shade = |value: &u8| [' ', '.', ':', '#', '@'][usize::from(*value) / 52];
            println!("{}", row.iter().map(shade).collect::<String>().trim_end());
        }
    }

    // Lengths are checked before memory is taken; the message names the file.
    let cut = folder.join("cut");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(
        &cut,
        [0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2, 3],
    )?;
    if let Err(error) = idx::read_images(&cut) {
        println!(
            "{}",
            error.to_string().replace(&*folder.to_string_lossy(), "…")
        );
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Writes the first ten test digits as two IDX files.
fn write(folder: &Path) -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let digits = Mnist5kConfig::default().load(&DataSearch::default())?.test;
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 28, 0, 0, 0, 28];
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 10];
    let mut values = vec![0f32; digits.shape().pixels()];
    for index in 0..10 {
        digits.image(index, &mut values)?;
        images.extend(
            values
                .iter()
                .map(|value| ((value + 1.0) * 127.5).round() as u8),
        );
        labels.push(digits.label(index)? as u8);
    }
    let paths = (folder.join("images"), folder.join("labels"));
    std::fs::write(&paths.0, images)?;
    std::fs::write(&paths.1, labels)?;
    Ok(paths)
}
