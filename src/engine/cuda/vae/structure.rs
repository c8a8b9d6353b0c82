//! What the decoder is made of, in BFL's names: the widths, read from a file or FLUX.1's own, and where each layer's
//! weights lie in one piece of device memory. Nothing here touches a card.

use half::bf16;

use super::super::error::{CudaError, Result};
use super::super::memory::Layout;
use crate::engine::latent;
use crate::engine::weights::{Weights, WeightsError};

/// Every group norm has this many groups.
pub const GROUPS: usize = 32;
/// The most channels that the kernels of the group norms hold in a block.
const WIDEST: usize = 2048;

/// Channels of the levels, lowest resolution first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths {
    /// Behind the first layer and in the middle.
    pub top: usize,
    /// One for each resolution.
    pub levels: Vec<LevelWidths>,
}

/// One resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelWidths {
    /// What each block gives.
    pub blocks: Vec<usize>,
    /// Whether the picture is doubled behind them.
    pub upsample: bool,
}

impl Widths {
    /// FLUX.1's.
    #[must_use]
    pub fn flux() -> Self {
        let level = |channels, upsample| LevelWidths { blocks: vec![channels; 3], upsample };
        Self {
            top: 512,
            levels: vec![level(512, true), level(512, true), level(256, true), level(128, false)],
        }
    }

    /// Those of `decoder.*`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn read(weights: &Weights) -> std::result::Result<Self, WeightsError> {
        let top = match *weights.shape("decoder.conv_in.weight")? {
            [out, latent::CHANNELS, 3, 3] => out,
            ref shape => {
                return Err(WeightsError::Config(format!("the decoder's first layer has shape {shape:?}")));
            }
        };
        let mut levels = Vec::new();
        for index in (0..weights.depth("decoder.up")).rev() {
            let name = format!("decoder.up.{index}");
            let blocks = (0..weights.depth(&format!("{name}.block"))).map(|block| {
                Ok(weights.shape(&format!("{name}.block.{block}.conv1.bias"))?.iter().product())
            });
            let blocks = blocks.collect::<std::result::Result<_, WeightsError>>()?;
            let upsample = weights.contains(&format!("{name}.upsample.conv.weight"));
            levels.push(LevelWidths { blocks, upsample });
        }
        Ok(Self { top, levels })
    }

    /// What the kernels ask of the channels.
    fn check(&self) -> Result<()> {
        let mut all = self.levels.iter().flat_map(|level| &level.blocks).chain([&self.top]);
        match all.find(|&&channels| channels == 0 || channels % GROUPS != 0 || channels > WIDEST) {
            Some(channels) => Err(CudaError::Shape(format!(
                "a VAE of {channels} channels: the card's kernels want multiples of {GROUPS} up to {WIDEST}"
            ))),
            None => Ok(()),
        }
    }

    /// How many times a side is doubled.
    #[must_use]
    pub fn doublings(&self) -> u32 {
        self.levels.iter().filter(|level| level.upsample).count() as u32
    }
}

/// A 3×3 convolution: weights as `kernels/conv.cuh` has them, bf16, and a bias in fp32.
#[derive(Debug, Clone, Copy)]
pub struct Conv3 {
    pub weight: usize,
    pub bias: usize,
    pub inner: usize,
    pub out: usize,
    /// Of the picture doubled first.
    pub doubled: bool,
}

impl Conv3 {
    /// Sums of products for one pixel of the input.
    pub fn taps(&self) -> usize {
        if self.doubled { 16 } else { 9 }
    }
}

/// A 1×1 convolution: a linear layer over the pixels, `[out, inner]` and `[1, out]` in bf16.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    pub weight: usize,
    pub bias: usize,
    pub inner: usize,
    pub out: usize,
}

/// A group norm's scale and shift, `[1, channels]` each in fp32.
#[derive(Debug, Clone, Copy)]
pub struct Norm {
    pub weight: usize,
    pub bias: usize,
    pub channels: usize,
}

/// A layer, for those who fill it.
#[derive(Debug, Clone, Copy)]
pub enum Layer {
    /// 3×3.
    Conv3(Conv3),
    /// 1×1.
    Linear(Linear),
    /// Group norm.
    Norm(Norm),
}

/// BFL's `ResnetBlock`.
#[derive(Debug, Clone, Copy)]
pub struct ResnetBlock {
    pub norm1: Norm,
    pub conv1: Conv3,
    pub norm2: Norm,
    pub conv2: Conv3,
    pub shortcut: Option<Linear>,
}

/// BFL's `AttnBlock`; queries, keys and values are one product.
#[derive(Debug, Clone, Copy)]
pub struct AttnBlock {
    pub norm: Norm,
    pub qkv: Linear,
    pub proj_out: Linear,
}

/// The blocks of one resolution.
#[derive(Debug, Clone)]
pub struct Level {
    pub blocks: Vec<ResnetBlock>,
    pub upsample: Option<Conv3>,
}

/// The whole decoder.
#[derive(Debug, Clone)]
pub struct Structure {
    pub conv_in: Conv3,
    pub mid: (ResnetBlock, AttnBlock, ResnetBlock),
    pub levels: Vec<Level>,
    pub norm_out: Norm,
    pub conv_out: Conv3,
    /// How many times a side is doubled.
    pub doublings: u32,
    /// Every layer by its name in the file.
    pub layers: Vec<(String, Layer)>,
    /// Bytes of all weights.
    pub bytes: usize,
}

/// Gives each layer its place.
#[derive(Default)]
struct Builder {
    layout: Layout,
    layers: Vec<(String, Layer)>,
}

impl Builder {
    fn conv(&mut self, name: &str, inner: usize, out: usize, doubled: bool) -> Conv3 {
        let mut conv = Conv3 { weight: 0, bias: 0, inner, out, doubled };
        conv.weight = self.layout.place::<bf16>(out, conv.taps() * inner);
        conv.bias = self.layout.place::<f32>(1, out);
        self.layers.push((name.to_owned(), Layer::Conv3(conv)));
        conv
    }

    /// Layers side by side: rows of one weight.
    fn linear(&mut self, names: &[String], inner: usize, out: usize) -> Linear {
        let weight = self.layout.place::<bf16>(names.len() * out, inner);
        let bias = self.layout.place::<bf16>(1, names.len() * out);
        for (index, name) in names.iter().enumerate() {
            let first = index * out * size_of::<bf16>();
            let part = Linear { weight: weight + first * inner, bias: bias + first, inner, out };
            self.layers.push((name.clone(), Layer::Linear(part)));
        }
        Linear { weight, bias, inner, out: names.len() * out }
    }

    fn norm(&mut self, name: &str, channels: usize) -> Norm {
        let weight = self.layout.place::<f32>(1, channels);
        let norm = Norm { weight, bias: self.layout.place::<f32>(1, channels), channels };
        self.layers.push((name.to_owned(), Layer::Norm(norm)));
        norm
    }

    fn block(&mut self, name: &str, inner: usize, out: usize) -> ResnetBlock {
        ResnetBlock {
            norm1: self.norm(&format!("{name}.norm1"), inner),
            conv1: self.conv(&format!("{name}.conv1"), inner, out, false),
            norm2: self.norm(&format!("{name}.norm2"), out),
            conv2: self.conv(&format!("{name}.conv2"), out, out, false),
            shortcut: (inner != out).then(|| self.linear(&[format!("{name}.nin_shortcut")], inner, out)),
        }
    }

    fn attention(&mut self, name: &str, channels: usize) -> AttnBlock {
        AttnBlock {
            norm: self.norm(&format!("{name}.norm"), channels),
            qkv: self.linear(&["q", "k", "v"].map(|part| format!("{name}.{part}")), channels, channels),
            proj_out: self.linear(&[format!("{name}.proj_out")], channels, channels),
        }
    }
}

impl Structure {
    /// Places a decoder of these widths.
    ///
    /// # Errors
    /// When the kernels cannot have so many channels.
    pub fn new(widths: &Widths) -> Result<Self> {
        widths.check()?;
        let top = widths.top;
        let mut builder = Builder::default();
        let conv_in = builder.conv("decoder.conv_in", latent::CHANNELS, top, false);
        let mid = (
            builder.block("decoder.mid.block_1", top, top),
            builder.attention("decoder.mid.attn_1", top),
            builder.block("decoder.mid.block_2", top, top),
        );
        let mut channels = top;
        let mut levels = Vec::new();
        for (level, index) in widths.levels.iter().zip((0..widths.levels.len()).rev()) {
            let name = format!("decoder.up.{index}");
            let mut blocks = Vec::new();
            for (block, &out) in level.blocks.iter().enumerate() {
                blocks.push(builder.block(&format!("{name}.block.{block}"), channels, out));
                channels = out;
            }
            let upsample = level
                .upsample
                .then(|| builder.conv(&format!("{name}.upsample.conv"), channels, channels, true));
            levels.push(Level { blocks, upsample });
        }
        Ok(Self {
            conv_in,
            mid,
            levels,
            norm_out: builder.norm("decoder.norm_out", channels),
            conv_out: builder.conv("decoder.conv_out", channels, 3, false),
            doublings: widths.doublings(),
            bytes: builder.layout.bytes(),
            layers: builder.layers,
        })
    }

    /// Pixels of the picture for a latent pixel, along one side.
    #[must_use]
    pub fn magnification(&self) -> usize {
        1 << self.doublings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flux_has_the_layers_and_the_bytes_that_its_file_has() -> Result<()> {
        let structure = Structure::new(&Widths::flux())?;
        let count = |is: fn(&Layer) -> bool| structure.layers.iter().filter(|(_, layer)| is(layer)).count();
        // 14 blocks of two, three doublings, the first and the last; two shortcuts, q, k, v and the projection.
        assert_eq!(count(|layer| matches!(layer, Layer::Conv3(_))), 33);
        assert_eq!(count(|layer| matches!(layer, Layer::Linear(_))), 6);
        assert_eq!(count(|layer| matches!(layer, Layer::Norm(_))), 30);
        // ae.safetensors has 49,545,475 parameters in its decoder; a doubled layer's 9 taps become 16.
        let parameters = |layer: &Layer| match *layer {
            Layer::Conv3(Conv3 { inner, out, .. }) => out * (9 * inner + 1),
            Layer::Linear(Linear { inner, out, .. }) => out * (inner + 1),
            Layer::Norm(Norm { channels, .. }) => 2 * channels,
        };
        let total: usize = structure.layers.iter().map(|(_, layer)| parameters(layer)).sum();
        assert_eq!(total, 49_545_475);
        let doubled = 7 * (2 * 512 * 512 + 256 * 256);
        assert!((2 * (total + doubled)..2 * (total + doubled) + (128 << 10)).contains(&structure.bytes));
        assert_eq!(structure.magnification(), 8);
        Ok(())
    }

    #[test]
    fn channels_that_the_groups_do_not_divide_are_refused() {
        let widths = Widths { top: 48, ..Widths::flux() };
        assert!(matches!(Structure::new(&widths), Err(CudaError::Shape(_))));
    }
}
