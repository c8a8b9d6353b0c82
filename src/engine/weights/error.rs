//! Why weights cannot be had: the file, the tensor, and what would work.

use safetensors::Dtype as Plain;

use super::dtype::Dtype;
use super::gguf::GgufError;

/// Why a tensor, or all of a file, could not be had.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file could not be read.
    #[error("the file could not be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is not a safetensors file, or its header does not describe the bytes behind it.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A GGUF file whose header does not describe the bytes behind it, or is of a kind that is not read.
    #[error(transparent)]
    Gguf(Box<GgufError>),
    /// A tensor in one of bitsandbytes' formats that does not fit what belongs to it, or is not read.
    #[error("the tensor {name:?} is bitsandbytes': {problem}")]
    Bitsandbytes {
        /// Which tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The same of one of several files that make a model.
    #[error("{file}: {problem}")]
    Shard {
        /// Its name in its folder.
        file: String,
        /// What is wrong with it.
        problem: Box<WeightsError>,
    },
    /// Two files of one model have a tensor of this name.
    #[error(
        "the tensor {name:?} is in {first} and again in {second}: one of the two files is of another model"
    )]
    Twice {
        /// Which tensor.
        name: String,
        /// The file that was read first.
        first: String,
        /// The other.
        second: String,
    },
    /// A folder or an index does not say which files to read.
    #[error("{0}")]
    Folder(String),
    /// The file is whole, and something else than what was asked for.
    #[error("it holds {found}, where {wanted} is needed")]
    Another {
        /// What it is.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A tensor that the model needs is missing.
    #[error("the tensor {0:?} is missing")]
    Missing(String),
    /// A transformer without some of the layers at its ends.
    #[error(
        "it lacks {}: fine-tunes that are only blocks take these from the model that they come from; in models.toml, \
         complete_from = \"/path\" names one, of FLUX.1-dev or schnell in any precision", .0.join(", ")
    )]
    Lacks(Vec<&'static str>),
    /// The transformer that was to complete another cannot.
    #[error(
        "it lacks {missing}, and {from} cannot complete it: {problem}; complete_from in models.toml names another"
    )]
    Base {
        /// What is missing.
        missing: String,
        /// Where it was looked for.
        from: String,
        /// Why it cannot be had there.
        problem: String,
    },
    /// A tensor has another shape than the model calls for.
    #[error("the tensor {name:?} has shape {found:?} where the model calls for {expected:?}")]
    Shape {
        /// Which tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// What the model calls for.
        expected: Vec<usize>,
    },
    /// A tensor has a type that is not a weight's.
    #[error(
        "the tensor {name:?} is {dtype}; weights are F8_E4M3, F8_E5M2, BF16, F16, F32, NF4 or one of GGUF's"
    )]
    Dtype {
        /// Which tensor.
        name: String,
        /// Its type in the file.
        dtype: Dtype,
    },
    /// A scale that is not one finite number a tensor or one a row.
    #[error(
        "the tensor {name:?} is scaled by {found}; one finite number a tensor, or one a row, can be read"
    )]
    Scale {
        /// Whose scale.
        name: String,
        /// What there is instead.
        found: String,
    },
    /// The names or shapes do not make a model of this kind.
    #[error("{0}")]
    Config(String),
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<GgufError> for WeightsError {
    fn from(error: GgufError) -> Self {
        Self::Gguf(Box::new(error))
    }
}

/// What is wrong with one file, by its first bytes or its header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Nothing in it, or not even the length of a header.
    #[error("it has {0} bytes, which is no safetensors file: the download was cut short; fetch it again")]
    Short(usize),
    /// What a server sent in place of the file.
    #[error(
        "it is a web page, not safetensors: the link needs a login, or led to a page about the file; fetch the file \
         itself"
    )]
    WebPage,
    /// What git left in place of the file.
    #[error("it is git's pointer to a large file, not the file: run `git lfs pull` where it came from")]
    LargeFilePointer,
    /// torch's own format.
    #[error(
        "it is a pickle (.ckpt, .pt, .bin): reading one runs the code in it, so this program never does; get the model \
         as safetensors"
    )]
    Pickle,
    /// The length before the header cannot be one.
    #[error("it is no safetensors file: its header would be {said} bytes long, and {there} follow")]
    Length {
        /// What the first eight bytes say.
        said: u64,
        /// How many bytes there are behind them.
        there: usize,
    },
    /// The header is no JSON of safetensors' form.
    #[error("its header cannot be read: {0}")]
    Json(String),
    /// Two tensors of one name.
    #[error("the tensor {0:?} is in its header twice")]
    Duplicate(String),
    /// A type that safetensors has not.
    #[error("the tensor {name:?} is {dtype:?}, a type that is not known here")]
    UnknownType {
        /// Which tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// A tensor's bytes are not as many as its shape and type take.
    #[error("the tensor {name:?} of shape {shape:?} has {bytes} bytes, which is not what {dtype:?} takes")]
    Size {
        /// Which tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type.
        dtype: Plain,
        /// Its bytes.
        bytes: usize,
    },
    /// A tensor ends behind the end of the file.
    #[error(
        "the tensor {name:?} ends at byte {end} of the data and the file has {there}: it was cut short; fetch it again"
    )]
    OutOfRange {
        /// Which tensor.
        name: String,
        /// Where it ends.
        end: usize,
        /// How many bytes of data there are.
        there: usize,
    },
    /// Two tensors share bytes.
    #[error("the tensors {0:?} and {1:?} overlap")]
    Overlap(String, String),
    /// Bytes that belong to no tensor.
    #[error("bytes {from} to {to} of the data belong to no tensor")]
    Gap {
        /// The first.
        from: usize,
        /// Behind the last.
        to: usize,
    },
}
