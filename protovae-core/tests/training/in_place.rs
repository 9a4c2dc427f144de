//! A step of the learner changes the weights where they lie.

use std::collections::BTreeMap;

use burn::backend::Flex;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use protovae_core::model::BoxModel;
use protovae_core::train::{Batch, Learner};

use crate::support::{CLASSES, IMAGE, SEED, batch, fresh, recipe, settings};

/// Where the values of each parameter that is trained lie, and the values.
#[derive(Default)]
struct Places(BTreeMap<u64, (usize, Vec<f32>)>);

impl ModuleVisitor for Places {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let values = param.val().inner();
        let flat = values.to_data().iter::<f32>().collect();
        let address = values
            .try_into_primitive::<Flex>()
            .unwrap()
            .bytes()
            .as_ptr()
            .addr();
        self.0.insert(param.id.val(), (address, flat));
    }
}

fn places(model: &BoxModel) -> Places {
    let mut places = Places::default();
    model.visit(&mut places);
    places
}

/// Were another handle on a weight left anywhere in a step (graph, gradients, figures), the optimizer would have to copy it.
#[test]
fn a_step_changes_the_weights_in_place() {
    let device = Device::flex().autodiff();
    let mut learner = Learner::new(fresh(&*recipe()), &settings(1)).unwrap();
    for number in 0..3 {
        let before = places(learner.model());
        let batch = Batch::new(batch(6, number), IMAGE, CLASSES, SEED, 0, &device).unwrap();
        learner = learner.step(&batch);
        let after = places(learner.model());
        assert_eq!(before.0.len(), after.0.len());
        let mut changed = 0;
        for (id, (address, values)) in &after.0 {
            assert_eq!(*address, before.0[id].0);
            changed += usize::from(*values != before.0[id].1);
        }
        assert!(changed > 0);
    }
}
