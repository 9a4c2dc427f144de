//! Right and wrong predictions of one model, with the cue and without it.

use burn::tensor::Tensor;

use super::super::{Summary, largest, rows_of};
use super::CueEffect;

/// What was seen so far: first of images as they are, then of the same images with the cue.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// 1 for each image that is classified rightly, 0 for others.
    right: [Vec<f64>; 2],
    /// The same of the cue's class.
    own: [Vec<f64>; 2],
    /// Of images of other classes: 1 for each that is taken for the cue's class.
    taken: [Vec<f64>; 2],
}

impl Pass {
    pub(super) fn add(&mut self, logits: [Tensor<2>; 2], labels: &[usize], class: usize) {
        for (which, logits) in logits.into_iter().enumerate() {
            let (values, width) = rows_of(logits);
            for (row, label) in values.chunks_exact(width).zip(labels) {
                let predicted = largest(row);
                let right = f64::from(u8::from(predicted == *label));
                self.right[which].push(right);
                match *label == class {
                    true => self.own[which].push(right),
                    false => {
                        self.taken[which].push(f64::from(u8::from(predicted == class)));
                    }
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.right[0].is_empty()
    }

    pub(super) fn effect(&self) -> CueEffect {
        let Self { right, own, taken } = self;
        CueEffect {
            accuracy: Summary::of(&right[0]),
            accuracy_with_cue: Summary::of(&right[1]),
            class_accuracy: Summary::of(&own[0]),
            class_accuracy_with_cue: Summary::of(&own[1]),
            others_taken: Summary::of(&taken[0]),
            others_taken_with_cue: Summary::of(&taken[1]),
        }
    }
}
