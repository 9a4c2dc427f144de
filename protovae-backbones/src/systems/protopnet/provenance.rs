//! Where prototypes come from, as numbers that are saved with the weights.

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::{Provenance, Region};

/// Places as rows of a tensor of floats: whether there is one, the sample's index in two parts, the patch's row and column, and
/// top, left, height and width of the region.
///
/// Integers would say it more plainly, but their types differ from device to device. Whole numbers up to 2²⁴ are exact in a
/// float, and the index is cut in two, so that data sets of 2⁴⁰ images fit.
pub(super) struct Sources;

/// The size of the lower part of an index.
const PART: u64 = 1 << 20;

impl Sources {
    /// Numbers a prototype.
    pub(super) const WIDTH: usize = 9;

    /// `[P, 9]` on `device`.
    pub(super) fn write(places: &[Option<Provenance>], device: &Device) -> Tensor<2> {
        let rows = places.iter().flat_map(|place| match place {
            Some(Provenance {
                sample,
                patch,
                region,
            }) => {
                let [row, column] = patch.unwrap_or_default();
                [
                    1.0,
                    (sample / PART) as f32,
                    (sample % PART) as f32,
                    row as f32,
                    column as f32,
                    region.top as f32,
                    region.left as f32,
                    region.height as f32,
                    region.width as f32,
                ]
            }
            None => [0.0; Self::WIDTH],
        });
        let values: Vec<f32> = rows.collect();
        Tensor::from_data(TensorData::new(values, [places.len(), Self::WIDTH]), device)
    }

    /// What [`write`](Self::write) wrote.
    pub(super) fn read(written: &Tensor<2>) -> Vec<Option<Provenance>> {
        let values: Vec<f32> = written.to_data().iter::<f32>().collect();
        let rows = values.as_chunks::<{ Self::WIDTH }>().0.iter();
        rows.map(|row| {
            let [is_known, rest @ ..] = row.map(|value| value as usize);
            let [high, low, row, column, top, left, height, width] = rest;
            (is_known == 1).then_some(Provenance {
                sample: high as u64 * PART + low as u64,
                patch: Some([row, column]),
                region: Region {
                    top,
                    left,
                    height,
                    width,
                },
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_as_floats() {
        let place = |sample| {
            Some(Provenance {
                sample,
                patch: Some([6, 5]),
                region: Region {
                    top: 3,
                    left: 1,
                    height: 12,
                    width: 223,
                },
            })
        };
        let places = [place(0), None, place(16_777_217), place((1 << 40) - 1)];
        let written = Sources::write(&places, &Device::flex());
        assert_eq!(Sources::read(&written), places);
    }
}
