//! It learns, and repeats itself.

use burn::tensor::Device;
use protovae_core::train::{Silent, Trainer};

use crate::support::{
    SEED, epochs, fit, fit_model, fresh, metrics, model_bytes, new_run, recipe, settings,
    test_source, train_source,
};

#[test]
fn the_loss_falls_and_the_toy_learns() {
    let folder = tempfile::tempdir().unwrap();
    let run = new_run(folder.path().join("run"));
    let trained = fit(&settings(15), &run, false).unwrap();
    let records = epochs(&run);
    assert_eq!(records.len(), 15);
    let (first, last) = (&records[0], records.last().unwrap());
    assert!(
        last.train.loss < 0.7 * first.train.loss,
        "{first:?} {last:?}"
    );
    assert!(last.test.loss < first.test.loss);
    assert_eq!(last.test.accuracy, 1.0);
    assert_eq!((last.train.samples, last.test.samples), (27, 13));
    assert_eq!((last.epoch, last.step), (15, 75));
    assert_eq!(trained.last.unwrap().test, last.test);
    let names: Vec<&String> = last.test.terms.keys().collect();
    assert_eq!(
        names,
        ["kl", "orthonormality", "prediction", "reconstruction"]
    );
    // Every second step has a line, each epoch one.
    assert_eq!(metrics(&run).len(), 75 / 2 + 15);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let train = |name: &str| {
        let run = new_run(folder.path().join(name));
        let trained = fit(&settings(3), &run, false).unwrap();
        (model_bytes(run.path(), &trained.model), metrics(&run))
    };
    let (first, second) = (train("first"), train("second"));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1, second.1);
    // Keeping no run directory changes nothing.
    let alone = fit_model(&settings(3), fresh(&*recipe()), None, false, &mut Silent).unwrap();
    assert_eq!(model_bytes(folder.path(), &alone.model), first.0);
    // Another seed for the noise does.
    let other = Trainer {
        config: &settings(3),
        seed: SEED + 1,
        device: &Device::flex().autodiff(),
        helpers: &[],
        train: &train_source(),
        unchanged: &train_source(),
        test: &test_source(),
        class_names: &[],
        data_digest: "toy",
        run: None,
        observer: &mut Silent,
    }
    .fit(fresh(&*recipe()), false)
    .unwrap();
    assert_ne!(model_bytes(folder.path(), &other.model), first.0);
}
