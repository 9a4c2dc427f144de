//! The layers of the paper's networks, and others at the edges of the kernels' tiles and blocks, agree with stock.

use super::cases::Case;

#[test]
fn convolutions_agree_with_stock() {
    for (channels, size) in [
        ([1, 32], 28),
        ([32, 1], 28),
        ([3, 32], 32),
        ([32, 64], 14),
        ([64, 32], 7),
        ([20, 24], 4),
        ([33, 17], 2),
        ([130, 70], 2),
    ] {
        Case::convolution(19, channels, [size; 2], [3, 1, 1]).check(1);
    }
    Case::convolution(9, [32, 8], [14; 2], [3, 1, 2]).check(2);
    Case::convolution(9, [8, 16], [32; 2], [4, 2, 1]).check(3);
    for size in [2, 3, 7, 14] {
        Case::transposed(17, [16, 9], [size; 2], [4, 2, 1]).check(4);
    }
    Case::transposed(9, [128, 128], [2; 2], [4, 2, 1]).check(5);
}

#[test]
fn normalisations_agree_with_stock() {
    for (shape, pool) in [
        ([128, 300, 1, 1], false),
        ([70, 12, 2, 2], false),
        ([33, 8, 7, 7], true),
        ([33, 8, 28, 28], true),
        ([10, 8, 14, 14], false),
    ] {
        Case::batch_norm(shape, 1e-2, pool).check(6);
        Case::affine(shape, pool).check(7);
    }
}

#[test]
fn the_other_layers_agree_with_stock() {
    for sizes in [
        [128, 3136, 96],
        [5, 512, 512],
        [70, 512, 1000],
        [64, 10, 3136],
        [1, 1, 1],
        [7, 33, 31],
        [9, 16, 32],
        [257, 5, 3],
    ] {
        Case::linear(sizes).check(8);
    }
    Case::tanh([64, 3, 32, 32]).check(9);
    Case::tanh([19, 1, 28, 28]).check(10);
    Case::relu([128, 1024]).check(11);
    for (batch, maps) in [
        (64, [64, 7, 7]),
        (19, [128, 3, 3]),
        (5, [256, 2, 2]),
        (3, [7, 1, 1]),
    ] {
        Case::unflatten(batch, maps).check(11);
    }
}

/// Every batch up to a few blocks of the widest vectors.
#[test]
fn every_batch_agrees_with_stock() {
    for batch in 1..=70 {
        let seed = batch as u64;
        Case::convolution(batch, [2, 3], [3, 2], [3, 1, 1]).check(seed);
        Case::transposed(batch, [2, 3], [2, 2], [4, 2, 1]).check(seed);
        Case::batch_norm([batch, 3, 3, 2], 1e-2, true).check(seed);
        Case::affine([batch, 3, 3, 2], true).check(seed);
        Case::unflatten(batch, [3, 2, 2]).check(seed);
        Case::linear([batch, 3, 5]).check(seed);
    }
}

/// Every number of channels up to a few tiles of the kernels' registers.
#[test]
fn every_number_of_channels_agrees_with_stock() {
    for channels in 1..=40 {
        let seed = channels as u64;
        Case::convolution(5, [3, channels], [3, 3], [3, 1, 1]).check(seed);
        Case::convolution(5, [channels, 3], [3, 3], [2, 2, 0]).check(seed);
        Case::transposed(5, [3, channels], [2, 3], [4, 2, 1]).check(seed);
        Case::transposed(5, [channels, 3], [2, 3], [2, 3, 0]).check(seed);
        Case::batch_norm([5, channels, 4, 3], 1e-2, channels % 2 == 0).check(seed);
        Case::linear([5, channels, 3]).check(seed);
        Case::linear([channels, 5, 7]).check(seed);
        Case::linear([5, 7, 2 * channels + 1]).check(seed);
    }
}
