//! Each measure against numbers worked out by hand.

use protovae_core::plugin::{Explainer, Target};
use protovae_explain::explainers;
use protovae_explain::measures::{
    Attacked, Attacks, Diversity, Form, Keep, Masking, Noise, Question, RelevanceOrdering,
    Robustness, noise_image, pixel_maps, ranking,
};

use crate::support::{Fixed, SHAPE, images, linear, model, near, score};

#[test]
fn rankings_descend_and_ties_go_by_index() {
    assert_eq!(ranking(&[0.5, 2.0, -1.0, 2.0, 0.5]), [1, 3, 0, 4, 2]);
    assert_eq!(ranking(&[-0.0, 0.0, -0.0]), [0, 1, 2]);
}

#[test]
fn questions_are_the_predicted_class_and_its_nearest_prototype() {
    let x = images(&[[1.0; 4], [-1.0, -1.0, -1.0, -0.8]]);
    let similarity = Question::new(&model(), &x, Form::Similarity).unwrap();
    assert_eq!(similarity.targets, [Target::Prototype(0); 2]);
    assert!(near(similarity.scores[0], 10.0) && near(similarity.scores[1], 0.4));
    let probability = Question::new(&model(), &x, Form::Probability).unwrap();
    assert_eq!(probability.targets, [Target::Class(0); 2]);
    assert!(near(
        probability.scores[0],
        1.0 / (1.0 + (0.4f64 - 10.0).exp())
    ));
}

/// With noise that the tests know beforehand.
fn uniform() -> Masking {
    Masking {
        noise: Noise::Uniform,
        ..Masking::default()
    }
}

#[test]
fn masking_by_hand() {
    let noise: [f32; 4] = noise_image(0, SHAPE).try_into().unwrap();
    let x = [1.0, 0.5, 0.0, 1.0];
    let question = Question::new(&model(), &images(&[x]), Form::Similarity).unwrap();
    let maps = [vec![0.0, 1.0, 2.0, 3.0]];
    let measure = |masking: Masking| {
        let found = masking.measure(&model(), &images(&[x]), &question, &maps);
        let found = found.unwrap();
        (found.drops[0], found.increases[0])
    };
    let expected = |after: [f32; 4]| {
        let (before, after) = (score(x), score(after));
        let increase = if after > before { 1.0 } else { 0.0 };
        (((before - after) / before).max(0.0), increase)
    };
    let (drop, increase) = measure(uniform());
    let by_hand = expected([noise[0], noise[1], x[2], x[3]]);
    assert!(near(drop, by_hand.0) && increase == by_hand.1, "{drop}");
    let (drop, increase) = measure(Masking {
        keep: Keep::Least,
        ..uniform()
    });
    let by_hand = expected([x[0], x[1], noise[2], noise[3]]);
    assert!(near(drop, by_hand.0) && increase == by_hand.1, "{drop}");
    let (drop, _) = measure(Masking {
        share: 0.75,
        ..uniform()
    });
    assert!(
        near(drop, expected([noise[0], x[1], x[2], x[3]]).0),
        "{drop}"
    );
    let nothing = Masking {
        share: 1.0,
        ..uniform()
    };
    assert!(
        nothing
            .measure(&model(), &images(&[x]), &question, &maps)
            .is_err()
    );
    assert!(
        uniform()
            .measure(&model(), &images(&[x]), &question, &[vec![0.0; 3]])
            .is_err()
    );
}

#[test]
fn an_increase_is_counted_where_noise_helps() {
    // All is black but the first pixel: any noise raises the score.
    let x = [1.0, -1.0, -1.0, -1.0];
    let question = Question::new(&model(), &images(&[x]), Form::Similarity).unwrap();
    let found = uniform()
        .measure(
            &model(),
            &images(&[x]),
            &question,
            &[vec![3.0, 2.0, 1.0, 0.0]],
        )
        .unwrap();
    assert_eq!((found.drops[0], found.increases[0]), (0.0, 1.0));
}

#[test]
fn ordering_by_hand() {
    let noise: [f32; 4] = noise_image(0, SHAPE).try_into().unwrap();
    let x = [1.0, 0.5, 0.0, 1.0];
    let question = Question::new(&model(), &images(&[x]), Form::Similarity).unwrap();
    let ordering = RelevanceOrdering {
        steps: 4,
        noise: Noise::Uniform,
        ..RelevanceOrdering::default()
    };
    let found = ordering
        .measure(
            &model(),
            &images(&[x]),
            &question,
            &[vec![0.0, 1.0, 2.0, 3.0]],
        )
        .unwrap();
    let mut pixels = noise;
    let mut curve = vec![score(pixels) / score(x)];
    for pixel in [3, 2, 1, 0] {
        pixels[pixel] = x[pixel];
        curve.push(score(pixels) / score(x));
    }
    for (found, expected) in found.curve.iter().zip(&curve) {
        assert!(near(*found, *expected), "{found} {expected}");
    }
    let area = (curve[0] / 2.0 + curve[1] + curve[2] + curve[3] + curve[4] / 2.0) / 4.0;
    assert!(near(found.areas[0], area));
    assert!(near(found.curve[4], 1.0));
}

#[test]
fn shuffled_noise_is_made_of_the_images_pixels() {
    // Two images whose pixels are all different: whatever replaces pixel 0 is one of 1.0 and 0.2, and so on.
    let x = [[1.0, 0.9, 0.8, 0.7], [0.2, 0.1, 0.0, -0.1]];
    let question = Question::new(&model(), &images(&x), Form::Similarity).unwrap();
    let masking = Masking {
        noise: Noise::Shuffled,
        share: 0.75,
        ..Masking::default()
    };
    let maps = vec![vec![0.0, 1.0, 2.0, 3.0]; 2];
    let found = masking
        .measure(&model(), &images(&x), &question, &maps)
        .unwrap();
    // Pixel 0 alone is replaced, in one of the images by itself.
    let lost = 0.4 / score(x[0]);
    let other = (found.drops[0] == 0.0, found.increases[1]);
    assert!(
        other == (true, 1.0) || near(found.drops[0], lost),
        "{found:?}"
    );
    assert_eq!(found.drops[1], 0.0);
}

#[test]
fn attacks_on_a_linear_model_by_hand() {
    // The margin is (x_0 − x_1) / 2; moving both pixels by e takes e from it.
    let model = linear([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]);
    let x = images(&[
        [0.1, -0.1, 0.0, 0.0],
        [0.3, -0.3, 0.0, 0.0],
        [-0.2, 0.2, 0.0, 0.0],
        [0.9, -0.9, 0.0, 0.0],
    ]);
    let attacks = Attacks {
        epsilons: vec![0.05, 0.2, 0.5],
        ..Attacks::default()
    };
    let found = attacks.measure(&model, &x, &[0; 4]).unwrap();
    let accuracies = |of: fn(&Attacked) -> f64| found.iter().map(of).collect::<Vec<f64>>();
    for of in [
        (|a| a.fgsm.mean) as fn(&Attacked) -> f64,
        |a| a.pgd.mean,
        |a| a.margin.mean,
    ] {
        assert_eq!(accuracies(of), [0.75, 0.75, 0.5, 0.25]);
    }
    assert!(attacks.measure(&model, &x, &[0; 3]).is_err());
    assert!(attacks.measure(&model, &x, &[2; 4]).is_err());
    let impossible = Attacks {
        epsilons: vec![0.0],
        ..Attacks::default()
    };
    assert!(impossible.measure(&model, &x, &[0; 4]).is_err());
}

#[test]
fn certainty_hides_the_way_from_the_cross_entropy_and_not_from_the_margin() {
    // With weights of 10,000 the other class has probability 0 in 32 bits, and the gradient of the cross-entropy is 0.
    let model = linear([[1e4, 0.0, 0.0, 0.0], [0.0, 1e4, 0.0, 0.0]]);
    let x = images(&[[0.1, -0.1, 0.0, 0.0], [0.3, -0.3, 0.0, 0.0]]);
    let attacks = Attacks {
        epsilons: vec![0.2],
        ..Attacks::default()
    };
    let found = attacks.measure(&model, &x, &[0; 2]).unwrap();
    let accuracy = [found[1].fgsm, found[1].pgd, found[1].margin].map(|found| found.mean);
    assert_eq!(accuracy, [1.0, 1.0, 0.5]);

    // What was made for another model that looks at the same pixels leads it astray as well, and not if it looks at others.
    let accuracies = |from: [[f32; 4]; 2]| -> Vec<f64> {
        let found = attacks.transfer(&linear(from), &model, &x, &[0; 2]);
        found.unwrap().iter().map(|one| one.accuracy.mean).collect()
    };
    let same = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]];
    let others = [[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
    assert_eq!(accuracies(same), [1.0, 0.5]);
    assert_eq!(accuracies(others), [1.0, 1.0]);
    assert!(
        attacks
            .transfer(&model, &linear(same), &x, &[0; 3])
            .is_err()
    );
}

#[test]
fn maps_that_do_not_move_are_robust_and_random_ones_are_not() {
    let x = images(&[[0.5, 0.1, 0.0, 0.2], [0.9, 0.5, 0.3, -0.2]]);
    let question = Question::new(&model(), &x, Form::Similarity).unwrap();
    let robustness = Robustness::default();
    let change = |explainer: &dyn Explainer| {
        let maps = pixel_maps(&model(), explainer, &x, &question.targets).unwrap();
        robustness
            .maps(&model(), explainer, &x, &question, &maps)
            .unwrap()
    };
    assert_eq!(change(&Fixed("fixed", [1.0, 2.0, 3.0, 4.0])), [0.0, 0.0]);
    // Gradient × input of a linear model is w·x/2: it moves by at most 0.05·‖w‖/2.
    let moved = change(&*explainers::named("gradient-times-input").unwrap());
    let size = (0.5f64.powi(2) + 0.2f64.powi(2) + 0.8f64.powi(2)).sqrt();
    assert!(
        moved[0] > 0.0 && moved[0] <= 0.05 * 30f64.sqrt() / size + 1e-6,
        "{moved:?}"
    );
    let random = change(&*explainers::named("random").unwrap());
    assert!(random.iter().all(|change| *change > 0.5), "{random:?}");
    let similarities = robustness.similarities(&model(), &x).unwrap();
    assert!(
        similarities
            .iter()
            .all(|change| *change > 0.0 && *change < 0.1),
        "{similarities:?}"
    );
    let one = robustness
        .similarities(&model(), &x.narrow(0, 0, 1))
        .unwrap();
    assert_eq!(one[0], similarities[0]);
}

#[test]
fn diversity_by_hand() {
    let found = Diversity::default()
        .measure(&model(), &images(&[[1.0; 4], [0.5; 4]]), &[0, 0])
        .unwrap();
    assert_eq!(found.classes[0].usage, [2]);
    assert_eq!((found.classes[1].dead, found.dead), (1, 0.5));
    assert_eq!(found.usage_entropy, None);
    let apart = (0.9f64.powi(2) + 1.9f64.powi(2) + 2.9f64.powi(2) + 3.9f64.powi(2)).sqrt();
    assert!(near(found.class_distance, apart));
    assert_eq!(found.duplicates, 0.0);
}
