//! Tensors to compute with, and comparisons of what comes out.

use burn::tensor::{Device, Tensor, TensorData};

/// All values of a tensor as a vector.
pub fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let count = tensor.dims().iter().product::<usize>();
    tensor.reshape([count])
}

/// A vector.
pub fn tensor(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// A tensor of values without a pattern, the same for the same seed.
pub fn random<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut source = Source(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| source.normal()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec::<f32>().unwrap()
}

/// Bits of values: tells 0 from −0, and NaN equals itself.
pub fn bits(tensors: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let bits = |values: &Vec<f32>| values.iter().map(|value| value.to_bits()).collect();
    tensors.iter().map(bits).collect()
}

/// A factor for each output value, each different from its neighbours'. Their mean is nearly zero, or the rounding of a
/// channel's mean would count as often as there are values.
pub fn factors(count: usize) -> Vec<f32> {
    (0..count)
        .map(|index| ((index * 37 % 101) as f32 - 50.0) / 50.0)
        .collect()
}

/// A loss that weighs every output value differently.
pub fn loss<const D: usize>(output: Tensor<D>) -> Tensor<1> {
    let output = flat(output);
    let factors = tensor(&factors(output.dims()[0]), &output.device());
    (output * factors).sum()
}

/// The same within 1e-4 of each tensor's largest value, or of 1 if all are smaller: what is left where everything cancels is
/// rounding.
pub fn close(ours: &[Vec<f32>], stock: &[Vec<f32>], what: &str) {
    assert_eq!(ours.len(), stock.len(), "{what}");
    for (index, (ours, stock)) in ours.iter().zip(stock).enumerate() {
        close_above(1.0, ours, stock, &format!("{what}: tensor {index}"));
    }
}

/// The same within 1e-4 of the largest value, or of `least` if all are smaller.
pub fn close_above(least: f32, ours: &[f32], stock: &[f32], what: &str) {
    assert_eq!(ours.len(), stock.len(), "{what}");
    let largest = stock
        .iter()
        .fold(least, |largest, value| largest.max(value.abs()));
    for (place, (&a, &b)) in ours.iter().zip(stock).enumerate() {
        assert!(
            (a - b).abs() <= 1e-4 * largest,
            "{what}, value {place}: {a} against {b}, largest {largest}"
        );
    }
}

/// Random numbers: a counter, well mixed.
pub struct Source(pub u64);

impl Source {
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Nearly normal: mean 0.1, deviation 1.
    pub fn normal(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3f32.sqrt() + 0.1
    }
}
