//! What a weight file can be in a model of FLUX.1's size, by its header alone.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::catalog::{Role, Walks};
use crate::engine::dit::config::Config;
use crate::engine::weights::{Identity, Kind, Part, Weights, identify};
use crate::model::Source;

/// Remembers what files are, and which there are, as long as nothing changes: a folder may have hundreds, and lie on a
/// slow network.
#[derive(Debug, Default)]
pub struct Recogniser {
    seen: Mutex<HashMap<PathBuf, (Stamp, Roles)>>,
    walks: Walks,
}

/// What a file can be, or why it is of no use.
type Roles = Result<Vec<Role>, String>;

/// What changes when a file does: its size and when it was written.
type Stamp = (u64, Option<SystemTime>);

impl Recogniser {
    /// What folders had when they were last gone through.
    pub(super) fn walks(&self) -> &Walks {
        &self.walks
    }

    /// The roles that a file can play.
    ///
    /// # Errors
    /// Why it is of no use.
    pub fn roles(&self, path: &Path) -> Roles {
        // An index stays as it is when its shards come and go.
        if path.extension().is_some_and(|extension| extension == "json") {
            return roles(path);
        }
        let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
        let stamp = (metadata.len(), metadata.modified().ok());
        let lock = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roles)) = lock().get(path).filter(|(known, _)| *known == stamp) {
            return roles.clone();
        }
        let roles = roles(path);
        lock().insert(path.to_owned(), (stamp, roles.clone()));
        roles
    }
}

/// The roles that a file can play in a model of FLUX.1's size.
fn roles(path: &Path) -> Roles {
    let identity = identify(path).map_err(|error| error.to_string())?;
    if identity.kind != Kind::Parts {
        identity.drawn()?;
    }
    let source = Source::File(path.to_owned());
    let fits = |part| match part {
        Part::Transformer => is_flux1(&identity),
        _ => Weights::open_part(&source, part).is_ok_and(|weights| is_flux1s(part, &weights)),
    };
    Ok(identity.parts.iter().map(|found| found.part).filter(|part| fits(*part)).map(role).collect())
}

/// What a part is called by the catalogue.
pub(super) fn role(part: Part) -> Role {
    match part {
        Part::Transformer => Role::Transformer,
        Part::Vae => Role::Vae,
        Part::Clip => Role::Clip,
        Part::T5 => Role::T5,
    }
}

/// Whether a file has a transformer that takes what FLUX.1's encoders give, whatever its depth.
pub(super) fn is_flux1(identity: &Identity) -> bool {
    let Config { context_dim, vec_dim, .. } = Config::flux1_dev();
    match &identity.kind {
        Kind::Transformer { config, .. } => (config.context_dim, config.vec_dim) == (context_dim, vec_dim),
        _ => false,
    }
}

/// Whether an encoder or a VAE has the shapes of FLUX.1's.
fn is_flux1s(part: Part, weights: &Weights) -> bool {
    let has = |name: &str, shape: &[usize]| weights.shape(name).is_ok_and(|found| found == shape);
    match part {
        Part::T5 => {
            let embedding = ["shared.weight", "encoder.embed_tokens.weight"];
            embedding.iter().any(|name| has(name, &[32128, 4096]))
                && has("encoder.final_layer_norm.weight", &[4096])
                && has("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", &[10240, 4096])
                && weights.depth("encoder.block") == 24
        }
        Part::Clip => {
            has("embeddings.token_embedding.weight", &[49408, 768])
                && has("embeddings.position_embedding.weight", &[77, 768])
                && weights.depth("encoder.layers") == 12
        }
        Part::Vae => {
            has("decoder.conv_in.weight", &[512, 16, 3, 3]) && has("decoder.conv_out.weight", &[3, 128, 3, 3])
        }
        Part::Transformer => false,
    }
}
