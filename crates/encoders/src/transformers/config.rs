//! The families of vision transformers and their sizes.

use candle_core::Result;

/// Which of candle-transformers' models it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// Dosovitskiy et al. 2021, "An image is worth 16×16 words", with Hugging Face's names.
    Vit,
    /// Oquab et al. 2023, "DINOv2: learning robust visual features without supervision", with its authors' names. Its position
    /// embeddings are for 518×518 pixels, its patches have 14×14, its hidden layers 4C.
    Dinov2,
    /// Darcet et al. 2024, "Vision transformers need registers": DINOv2 with four tokens more, with its authors' names.
    Dinov2Registers,
    /// Radford et al. 2021, "Learning transferable visual models from natural language supervision", with Hugging
    /// Face's names.
    Clip,
    /// Zhai et al. 2023, "Sigmoid loss for language image pre-training", with Hugging Face's names.
    Siglip,
    /// Bao et al. 2022, "BEiT: BERT pre-training of image transformers", with timm's names. It takes 384×384 pixels, its patches have
    /// 16×16, its hidden layers 4C.
    Beit,
    /// Fang et al. 2023, "EVA-02: a visual representation for neon genesis", with timm's names. It takes 448×448 pixels, its patches have
    /// 14×14, its heads 64 channels, its hidden layers 8C/3.
    Eva02,
}

impl Family {
    /// (image_size, patch_size, intermediate_size) for C channels, where candle-transformers fixes them.
    pub(super) fn fixed(self, c: usize) -> Option<(usize, usize, usize)> {
        match self {
            Self::Dinov2 | Self::Dinov2Registers => Some((518, 14, 4 * c)),
            Self::Beit => Some((384, 16, 4 * c)),
            Self::Eva02 => Some((448, 14, 8 * c / 3)),
            Self::Vit | Self::Clip | Self::Siglip => None,
        }
    }
}

/// The sizes of a vision transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisionConfig {
    /// The model.
    pub family: Family,
    /// The channels C of a token.
    pub hidden_size: usize,
    /// The layers.
    pub num_hidden_layers: usize,
    /// The heads of attention in each layer.
    pub num_attention_heads: usize,
    /// The size of the hidden layer after attention.
    pub intermediate_size: usize,
    /// The side of the images that the position embeddings are for, in pixels.
    pub image_size: usize,
    /// The side of a patch, in pixels.
    pub patch_size: usize,
}

impl VisionConfig {
    /// The positions along a side of the image that the position embeddings are for.
    pub(super) fn native(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Whether it takes images of `image_size` alone.
    pub(super) fn is_of_one_size(&self) -> bool {
        matches!(self.family, Family::Beit | Family::Eva02)
    }

    /// Refuses sizes that do not fit each other.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let Self { family, hidden_size, num_attention_heads: heads, .. } = *self;
        let counts = [hidden_size, self.num_hidden_layers, heads, self.intermediate_size, self.patch_size];
        if counts.contains(&0) || self.native() == 0 {
            candle_core::bail!("{name}: a size is 0 in {self:?}")
        }
        if hidden_size % heads != 0 {
            candle_core::bail!("{name}: hidden_size {hidden_size} is no multiple of num_attention_heads {heads}")
        }
        let found = (self.image_size, self.patch_size, self.intermediate_size);
        if let Some(wanted) = family.fixed(hidden_size)
            && wanted != found
        {
            candle_core::bail!(
                "{name}: {family:?} has image_size, patch_size and intermediate_size {wanted:?}, not {found:?}"
            )
        }
        if family == Family::Eva02 && hidden_size != 64 * heads {
            candle_core::bail!("{name}: EVA-02 has 64 channels a head, not {}", hidden_size / heads)
        }
        Ok(())
    }
}
