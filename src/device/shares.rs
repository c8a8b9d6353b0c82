//! Who is to hold what of a card's memory while a picture is drawn, by the plan.

use serde::{Deserialize, Serialize};

/// Who holds memory of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// What of the transformer stays.
    Transformer,
    /// The slots in which its other blocks take turns.
    Streamed,
    /// What of T5 and CLIP stays.
    Encoders,
    /// The VAE's weights.
    Vae,
    /// What a step works in, and what a prompt and a schedule gave.
    Activations,
    /// What LoRAs add.
    Loras,
    /// CUDA's context, the kernels, and what products work in.
    Context,
}

/// How much of a card's memory one owner is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    pub owner: Owner,
    /// Bytes, as the driver gives them.
    pub bytes: u64,
}

impl Owner {
    /// Every owner, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Transformer,
        Self::Streamed,
        Self::Encoders,
        Self::Vae,
        Self::Activations,
        Self::Loras,
        Self::Context,
    ];

    /// Its name for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Streamed => "streamed",
            Self::Encoders => "encoders",
            Self::Vae => "VAE",
            Self::Activations => "activations",
            Self::Loras => "LoRAs",
            Self::Context => "context",
        }
    }
}
