//! The runs of a plan as the tasks of a Slurm job array.

use std::path::Path;

use crate::output::shell_word;

/// A script for `sbatch`: an array with a task for each of `tasks` runs. Each writes into a folder of its own, and one that was
/// killed and is started anew goes on where it was.
pub fn script(
    item: &str,
    tasks: usize,
    folder: &Path,
    command: &[String],
    options: &[String],
) -> String {
    let mut text = "#!/bin/bash\n".to_string();
    text += &format!("#SBATCH --job-name=protovae-{item}\n");
    text += &format!("#SBATCH --array=0-{}\n", tasks.saturating_sub(1));
    let output = folder.join("slurm-%a.log");
    text += &format!("#SBATCH --output={}\n", output.display());
    text += "#SBATCH --open-mode=append\n#SBATCH --requeue\n";
    for option in options {
        text += &format!("#SBATCH {option}\n");
    }
    let words: Vec<String> = command.iter().map(|word| shell_word(word)).collect();
    // The shell gives way to the program, so that Slurm's signals reach it.
    text += &format!("exec {} --task \"$SLURM_ARRAY_TASK_ID\"\n", words.join(" "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_quote_what_shells_would_take_apart() {
        let command = ["protovae", "reproduce", "table5", "--out", "it's here"].map(String::from);
        let text = script(
            "table5",
            16,
            Path::new("out/table5"),
            &command,
            &["--partition=gpu".to_string()],
        );
        assert!(text.starts_with("#!/bin/bash\n"));
        assert!(text.contains("#SBATCH --array=0-15\n"));
        assert!(text.contains("#SBATCH --partition=gpu\n"));
        assert!(text.ends_with(
            "exec protovae reproduce table5 --out 'it'\\''s here' --task \"$SLURM_ARRAY_TASK_ID\"\n"
        ));
    }
}
