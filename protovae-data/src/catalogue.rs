//! What this crate knows of the published sets: where they come from, under which terms, and how to recognise them.
//!
//! The lengths and SHA-256 of the files are those that TensorFlow Datasets checks its downloads against
//! (`tensorflow_datasets/url_checksums/{mnist,fashion_mnist,cifar10,svhn_cropped,quickdraw_bitmap,celeb_a}.txt`, Apache-2.0).
//! For MNIST and CIFAR-10 several other projects state the same ones.
//!
//! The content digests ([`PublishedSet::digest`]) were computed by this crate and by `tests/independent_figures.py` from complete
//! copies. Of these copies' unpacked files, MNIST's four, Fashion-MNIST's training files and CIFAR-10's first three batches were
//! seen to have the SHA-256 that other projects publish for them.

use serde::Serialize;

use crate::sets::{CLOTHES, DIGITS, PAPER_CLASSES};
use crate::{DataError, ImageShape};

/// One file of a published set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PublishedFile {
    /// Its name, in the folder of the set and, after a base address, on its servers.
    pub name: &'static str,
    /// Its length in bytes.
    pub length: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

/// A set as its publisher offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PublishedSet {
    /// The `type` of its config.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The publisher's page.
    pub homepage: &'static str,
    /// What to cite.
    pub citation: &'static str,
    /// The terms of use, in a line.
    pub licence: &'static str,
    /// The number of training images.
    pub train: usize,
    /// The number of test images.
    pub test: usize,
    /// The shape of the images as its config loads them by default.
    pub shape: ImageShape,
    /// The names of the classes, in the order of the labels.
    pub classes: &'static [&'static str],
    /// The content digest of the complete set, see [`DataSplits::from_memory`](crate::DataSplits::from_memory); none where
    /// no complete copy was at hand to compute it from.
    pub digest: Option<&'static str>,
    /// Its files.
    pub files: &'static [PublishedFile],
    /// Base addresses, each ending in `/`, tried in this order; none where the files must be fetched by hand.
    pub addresses: &'static [&'static str],
    /// How to get the files by hand; where there is an address, empty.
    pub by_hand: &'static str,
    /// The files that its reader also takes, unpacked or under other names: for each, the accepted spellings. Empty where
    /// the reader takes the published files alone.
    pub unpacked: &'static [&'static [&'static str]],
}

impl PublishedSet {
    /// The length of all files together, in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum: u64, file| sum.saturating_add(file.length))
    }
}

/// Every published set that this crate knows, in alphabetical order.
#[must_use]
pub fn catalogue() -> &'static [PublishedSet] {
    &CATALOGUE
}

/// The published set of a name.
///
/// # Errors
/// [`DataError::Setting`] with the known names for any other one.
///
/// ```
/// let set = protovae_data::published("mnist")?;
/// assert_eq!((set.train, set.test, set.files.len()), (60_000, 10_000, 4));
/// assert!(protovae_data::published("minst").is_err());
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn published(name: &str) -> Result<&'static PublishedSet, DataError> {
    if let Some(set) = CATALOGUE.iter().find(|set| set.name == name) {
        return Ok(set);
    }
    let names: Vec<&str> = CATALOGUE.iter().map(|set| set.name).collect();
    let reason = match name {
        "mnist-5k" => "`mnist-5k` is inside the program, there is nothing to fetch".to_string(),
        "image-folder" => {
            "an `image-folder` holds your own pictures, nobody publishes it".to_string()
        }
        _ => format!(
            "no published set is called `{name}`; known: {}",
            names.join(", ")
        ),
    };
    Err(DataError::Setting { key: "set", reason })
}

const fn file(name: &'static str, length: u64, sha256: &'static str) -> PublishedFile {
    PublishedFile {
        name,
        length,
        sha256,
    }
}

/// The spellings of MNIST's files that the reader knows.
const IDX_FILES: &[&[&str]] = &[
    &[
        "train-images-idx3-ubyte.gz",
        "train-images-idx3-ubyte",
        "train-images.idx3-ubyte",
        "train-images.idx3-ubyte.gz",
    ],
    &[
        "train-labels-idx1-ubyte.gz",
        "train-labels-idx1-ubyte",
        "train-labels.idx1-ubyte",
        "train-labels.idx1-ubyte.gz",
    ],
    &[
        "t10k-images-idx3-ubyte.gz",
        "t10k-images-idx3-ubyte",
        "t10k-images.idx3-ubyte",
        "t10k-images.idx3-ubyte.gz",
    ],
    &[
        "t10k-labels-idx1-ubyte.gz",
        "t10k-labels-idx1-ubyte",
        "t10k-labels.idx1-ubyte",
        "t10k-labels.idx1-ubyte.gz",
    ],
];

static CATALOGUE: [PublishedSet; 6] = [CELEBA, CIFAR_10, FASHION_MNIST, MNIST, QUICKDRAW, SVHN];

const CELEBA: PublishedSet = PublishedSet {
    name: "celeba",
    title: "CelebA: aligned faces of celebrities with 40 attributes",
    homepage: "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    citation: "Z. Liu, P. Luo, X. Wang, X. Tang: Deep Learning Face Attributes in the Wild, ICCV 2015",
    licence: "non-commercial research only; the pictures show real people",
    // The official partition without its validation images.
    train: 162_770,
    test: 19_962,
    shape: ImageShape::new(3, 224, 224),
    classes: &["female", "male"],
    digest: None,
    files: &[
        file(
            "img_align_celeba.zip",
            1_443_490_838,
            "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
        ),
        file(
            "list_attr_celeba.txt",
            26_721_026,
            "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0",
        ),
        file(
            "list_eval_partition.txt",
            2_836_386,
            "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7",
        ),
    ],
    addresses: &[],
    by_hand: "its publisher offers it through Google Drive, which gives large files to browsers alone. Follow `Align&Cropped Images` \
              on https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, agree to its terms, and take `img_align_celeba.zip` from the \
              folder `Img`, `list_attr_celeba.txt` from `Anno` and `list_eval_partition.txt` from `Eval`; then run this again with \
              --from and the folder that holds the three files",
    unpacked: &[],
};

const CIFAR_10: PublishedSet = PublishedSet {
    name: "cifar-10",
    title: "CIFAR-10: photographs of ten classes",
    homepage: "https://www.cs.toronto.edu/~kriz/cifar.html",
    citation: "A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
    licence: "none stated by its publisher; cite the report",
    train: 50_000,
    test: 10_000,
    shape: ImageShape::new(3, 32, 32),
    classes: &crate::cifar::CLASS_NAMES,
    digest: Some("4124574f5dd5b7e92957cdc264b7286638e718720f51c3b7d47dfc43931b6aff"),
    files: &[file(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    )],
    addresses: &["https://www.cs.toronto.edu/~kriz/"],
    by_hand: "",
    unpacked: &[
        &["data_batch_1.bin"],
        &["data_batch_2.bin"],
        &["data_batch_3.bin"],
        &["data_batch_4.bin"],
        &["data_batch_5.bin"],
        &["test_batch.bin"],
    ],
};

const FASHION_MNIST: PublishedSet = PublishedSet {
    name: "fashion-mnist",
    title: "Fashion-MNIST: pictures of clothes",
    homepage: "https://github.com/zalandoresearch/fashion-mnist",
    citation: "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, \
               2017, arXiv:1708.07747",
    licence: "MIT",
    train: 60_000,
    test: 10_000,
    shape: ImageShape::new(1, 28, 28),
    classes: &CLOTHES,
    digest: Some("0a56558620e29cb457c3e43aba03081f58d0251e980cb6356e226928615e7871"),
    files: &[
        file(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        file(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        file(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        file(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ],
    addresses: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
    by_hand: "",
    unpacked: IDX_FILES,
};

const MNIST: PublishedSet = PublishedSet {
    name: "mnist",
    title: "MNIST: handwritten digits",
    homepage: "http://yann.lecun.com/exdb/mnist/",
    citation: "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86, \
               1998",
    licence: "none stated by its publishers; cite the paper",
    train: 60_000,
    test: 10_000,
    shape: ImageShape::new(1, 28, 28),
    classes: &DIGITS,
    digest: Some("0a9d06e61796e650d785c495f16aaf3803371feff821442abeceab4dacfd59f5"),
    files: &[
        file(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        file(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        file(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        file(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ],
    // The publishers' own server turns programs away, so the two mirrors that everyone uses.
    addresses: &[
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    by_hand: "",
    unpacked: IDX_FILES,
};

const QUICKDRAW: PublishedSet = PublishedSet {
    name: "quickdraw",
    title: "Quick, Draw!: sketches of the ten classes used in the paper",
    homepage: "https://github.com/googlecreativelab/quickdraw-dataset",
    citation: "Google: The Quick, Draw! Dataset, 2017",
    licence: "CC BY 4.0",
    // The first 10,000 sketches of each class.
    train: 80_000,
    test: 20_000,
    shape: ImageShape::new(1, 28, 28),
    classes: &PAPER_CLASSES,
    digest: None,
    files: &[
        file(
            "ant.npy",
            97_695_888,
            "3d9f048b8063169bca439d5546115bc77474a27ce707791bd65d8fb938a676d5",
        ),
        file(
            "apple.npy",
            113_462_128,
            "a70df0030c146cfe4aa9a17aa2a320d5f64ac166fdc3d2cfb439b8322fd8bb0d",
        ),
        file(
            "banana.npy",
            241_421_904,
            "d67e4bbc7a2e51774a1c1d1960e3406ec2ed2946637db3ef8f9ca5dd0d0ae90d",
        ),
        file(
            "carrot.npy",
            103_847_936,
            "5a7bd7b93798c08a8f8ea2427c487bd8ef8accd5fa9b5453eaf7f70de7cd507d",
        ),
        file(
            "cat.npy",
            96_590_448,
            "21a281839d3f2eef601d57d2338a4eafdf24649f8d0a0e42d3ec3e595911463e",
        ),
        file(
            "cow.npy",
            96_497_152,
            "76d836f6e8c80e26604e39c47154dc46e3f4ce224e6ec186ee9d8d59783123bd",
        ),
        file(
            "dog.npy",
            119_292_736,
            "72f95508d440976a075e7098557647bbdeaea7a06c63889215c5b87fbf82ea2c",
        ),
        file(
            "frog.npy",
            124_692_928,
            "9dbb0ce1f3c8ec1362fcd7ed9ef62456550a0f743eb3e6c6efe33d832440e067",
        ),
        file(
            "grapes.npy",
            121_759_200,
            "d95f9d9e81c950a30eaae468c10f5763859bd593ec74d18be507d119a33f3e98",
        ),
        file(
            "lion.npy",
            94_824_096,
            "352b605776153e77a7ecc68531ce3229fad5bcb572ebe57fad9b132883d53a5d",
        ),
    ],
    addresses: &["https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"],
    by_hand: "",
    unpacked: &[],
};

const SVHN: PublishedSet = PublishedSet {
    name: "svhn",
    title: "SVHN: digits cut out of photographs of house numbers",
    homepage: "http://ufldl.stanford.edu/housenumbers/",
    citation: "Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng: Reading Digits in Natural Images with Unsupervised \
               Feature Learning, 2011",
    licence: "non-commercial use only",
    train: 73_257,
    test: 26_032,
    shape: ImageShape::new(3, 32, 32),
    classes: &DIGITS,
    digest: None,
    files: &[
        file(
            "train_32x32.mat",
            182_040_794,
            "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        ),
        file(
            "test_32x32.mat",
            64_275_384,
            "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        ),
    ],
    addresses: &["http://ufldl.stanford.edu/housenumbers/"],
    by_hand: "",
    unpacked: &[],
};
