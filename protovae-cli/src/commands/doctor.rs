//! `protovae doctor`.

use std::path::{Path, PathBuf};

use protovae_backbones::kernels;
use protovae_core::device::{BURN_VERSION, Backend, DeviceName};
use protovae_data::{DataSearch, PublishedSet, catalogue};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::error::Result;
use crate::machine::{LoadedLibtorch, NvidiaDriver};
use crate::output::Voice;

pub fn run(arguments: &DoctorArgs, voice: Voice) -> Result<()> {
    let findings = Findings::gather(arguments.data_dir.as_deref());
    voice.object(&findings)?;
    print(&findings, voice)
}

/// Everything that is reported, in the order in which it is.
#[derive(Debug, Serialize)]
struct Findings {
    version: &'static str,
    burn: &'static str,
    /// What `--device` takes here, fastest first.
    devices: Vec<DeviceName>,
    /// What `--device auto` takes.
    auto: DeviceName,
    backends: Vec<BuiltIn>,
    processor: Processor,
    nvidia: NvidiaDriver,
    /// None in a build without it, and where the system does not tell.
    libtorch: Option<LoadedLibtorch>,
    /// Where `data fetch` puts sets.
    data_folder: Option<PathBuf>,
    data: Vec<Set>,
    missing: Vec<Missing>,
}

/// Whether a backend is part of this build.
#[derive(Debug, Serialize)]
struct BuiltIn {
    name: &'static str,
    compiled: bool,
}

/// What computes for the device `cpu`.
#[derive(Debug, Serialize)]
struct Processor {
    architecture: &'static str,
    vector_instructions: &'static str,
    threads: usize,
    processors: usize,
}

/// A published data set.
#[derive(Debug, Serialize)]
struct Set {
    name: &'static str,
    /// The folder with all its files, if there is one.
    folder: Option<PathBuf>,
}

/// Something that a user may want and has not.
#[derive(Debug, Serialize)]
struct Missing {
    what: String,
    /// The command that gets it, or the first step to it.
    command: String,
}

impl Findings {
    fn gather(data_dir: Option<&Path>) -> Self {
        let search = DataSearch {
            data_dir: data_dir.map(Path::to_path_buf),
        };
        let devices = DeviceName::found();
        let set = |set: &'static PublishedSet| Set {
            name: set.name,
            folder: search.locate(set),
        };
        let mut findings = Self {
            version: env!("CARGO_PKG_VERSION"),
            burn: BURN_VERSION,
            auto: devices.first().copied().unwrap_or_default(),
            devices,
            backends: Backend::ALL
                .into_iter()
                .map(|backend| BuiltIn {
                    name: backend.name(),
                    compiled: backend.is_compiled(),
                })
                .collect(),
            processor: Processor {
                architecture: std::env::consts::ARCH,
                vector_instructions: kernels::vector_instructions(),
                threads: rayon::current_num_threads(),
                processors: std::thread::available_parallelism().map_or(1, usize::from),
            },
            nvidia: NvidiaDriver::find(),
            libtorch: LoadedLibtorch::find(),
            data_folder: search
                .destination("")
                .map(|folder| folder.components().collect()),
            data: catalogue().iter().map(set).collect(),
            missing: Vec::new(),
        };
        findings.missing = findings.missing(data_dir);
        findings
    }

    fn missing(&self, data_dir: Option<&Path>) -> Vec<Missing> {
        let mut missing = Vec::new();
        let mut add = |what: String, command: String| missing.push(Missing { what, command });
        for backend in Backend::ALL {
            let name = backend.name();
            let found = self
                .devices
                .iter()
                .any(|device| device.backend() == backend);
            if !backend.is_compiled() {
                add(
                    format!("{name}: {}, not part of this build", serves(backend)),
                    install(backend),
                );
            } else if !found {
                let (what, command) = match backend {
                    Backend::Cuda if self.nvidia.library.is_none() => (
                        "libcuda.so.1, of NVIDIA's driver, is not installed",
                        "nvidia-smi",
                    ),
                    Backend::Cuda => ("NVIDIA's driver shows no card", "nvidia-smi"),
                    _ => ("no adapter found", "vulkaninfo --summary"),
                };
                add(format!("{name}: {what}"), command.to_string());
            }
        }
        if kernels::vector_instructions() != "AVX-512"
            && std::env::var_os("PROTOVAE_SIMD").is_some()
        {
            add(
                "PROTOVAE_SIMD limits the processor's vector instructions".to_string(),
                "unset PROTOVAE_SIMD".to_string(),
            );
        }
        let Processor {
            threads,
            processors,
            ..
        } = self.processor;
        if threads < processors {
            add(
                format!("RAYON_NUM_THREADS leaves {threads} of {processors} processors"),
                "unset RAYON_NUM_THREADS".to_string(),
            );
        }
        for set in catalogue() {
            if self
                .data
                .iter()
                .any(|found| found.name == set.name && found.folder.is_some())
            {
                continue;
            }
            let name = set.name;
            // Sets that their publisher gives to browsers alone come from a folder.
            let from = if set.addresses.is_empty() {
                " --from FOLDER"
            } else {
                ""
            };
            let to = data_dir.map_or(String::new(), |folder| {
                format!(" --data-dir {}", folder.display())
            });
            add(
                format!("{name}: {}", set.title),
                format!("protovae data fetch {name}{from}{to}"),
            );
        }
        missing
    }
}

/// What a backend is for.
fn serves(backend: Backend) -> &'static str {
    match backend {
        Backend::Cpu => "every machine",
        Backend::Cuda => "NVIDIA's GPUs",
        Backend::Wgpu => "GPUs through Vulkan, Metal or DirectX",
        Backend::Libtorch => "libtorch on the CPU or on NVIDIA's GPUs",
    }
}

/// The command that makes a program with a backend, in a checkout of the project.
fn install(backend: Backend) -> String {
    let get = match backend {
        Backend::Libtorch => "protovae-cli/scripts/get-libtorch.sh, then ",
        _ => "",
    };
    format!(
        "{get}cargo install --path protovae-cli --features {}",
        backend.name()
    )
}

fn print(found: &Findings, voice: Voice) -> Result<()> {
    let row = |name: &str, text: String| voice.line(format!("  {name:<14} {text}"));
    voice.line(format!("protovae {}, burn {}", found.version, found.burn))?;

    voice.line("\ndevices, the fastest first")?;
    for device in &found.devices {
        let chosen = if *device == found.auto {
            "; `--device auto` takes it"
        } else {
            ""
        };
        row(
            &device.to_string(),
            format!("{}{chosen}", describe(*device, found)),
        )?;
    }

    voice.line("\nbackends")?;
    for backend in Backend::ALL {
        let built = if backend.is_compiled() {
            "in this build"
        } else {
            "not in this build"
        };
        row(backend.name(), format!("{built}: {}", serves(backend)))?;
    }

    voice.line("\nthe machine")?;
    let processor = &found.processor;
    row(
        "processor",
        format!(
            "{}, the kernels use {}",
            processor.architecture, processor.vector_instructions
        ),
    )?;
    row(
        "threads",
        format!("{} of {}", processor.threads, processor.processors),
    )?;
    let nvidia = &found.nvidia;
    let version = nvidia.version.as_deref().unwrap_or("of unknown version");
    let driver = match &nvidia.library {
        Some(library) => format!("{version}, {}", library.display()),
        None => "libcuda.so.1 not found".to_string(),
    };
    row("NVIDIA driver", driver)?;
    for card in &nvidia.cards {
        row("NVIDIA card", card.clone())?;
    }
    if let Some(libtorch) = &found.libtorch {
        let version = libtorch.version.as_deref().unwrap_or("of unknown version");
        row(
            "libtorch",
            format!("{version}, {}", libtorch.library.display()),
        )?;
    }

    let folder = match &found.data_folder {
        Some(folder) => format!(
            "; `protovae data fetch` puts them into {}",
            folder.display()
        ),
        None => String::new(),
    };
    voice.line(format!("\ndata sets{folder}"))?;
    row("mnist-5k", "part of the program".to_string())?;
    for set in &found.data {
        let place = set.folder.as_deref().map(Path::display);
        row(
            set.name,
            place.map_or("not found".to_string(), |place| place.to_string()),
        )?;
    }

    if found.missing.is_empty() {
        return voice.line("\nnothing is missing");
    }
    voice.line("\nmissing, and what gets it")?;
    for missing in &found.missing {
        voice.line(format!("  {}\n      {}", missing.what, missing.command))?;
    }
    Ok(())
}

/// What a device is.
fn describe(device: DeviceName, found: &Findings) -> String {
    let card = |index: usize| match found.nvidia.cards.get(index) {
        // The driver's order need not be CUDA's, so a name is given only where there is no choice.
        Some(card) if found.nvidia.cards.len() == 1 => card.clone(),
        _ => "an NVIDIA GPU".to_string(),
    };
    match device {
        DeviceName::Cpu => format!(
            "{} threads with this project's kernels",
            found.processor.threads
        ),
        DeviceName::Cuda(index) => card(index),
        DeviceName::LibtorchCuda(index) => format!("{}, by libtorch", card(index)),
        DeviceName::Libtorch => "libtorch on the CPU".to_string(),
        DeviceName::Wgpu(_) => "a graphics adapter".to_string(),
    }
}
