//! What is done to a text before its words are looked up, and how they are written one after the other again.

use super::{END, SPECIALS, START};
use tokenizers::decoders::DecoderWrapper;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, NormalizerWrapper, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, ModelWrapper, Result, SplitDelimiterBehavior, Tokenizer};

/// What counts as a word in lower-cased text; everything between words is dropped.
///
/// In this order: a word before n't, which stands alone (do n't); n't and the clitics ('s, 're …); numbers with their
/// points and commas (2,000); letters and digits joined by single hyphens (t-shirt).
const WORD: &str = concat!(
    r"[\p{L}\p{N}]+(?=n't\b)|n't\b|'(?:s|re|ve|ll|d|m)\b",
    r"|\p{N}+(?:[.,]\p{N}+)+(?![\p{L}\p{N}])",
    r"|[\p{L}\p{N}][\p{L}\p{N}\p{M}]*(?:-[\p{L}\p{N}][\p{L}\p{N}\p{M}]*)*",
);

/// What stands for the space before a character or a piece of a word, as in SentencePiece.
pub(super) const SPACE: char = '\u{2581}';

/// A character with its combining marks, and with the space before it.
const CHARACTER: &str = r"\u{2581}?[^\u{2581}\p{M}]\p{M}*|\u{2581}|\p{M}+";

/// How texts are cut into words and put together again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipeline {
    /// Words in lower case without punctuation, much as the Penn Treebank cuts them.
    Ptb,
    /// What stands between spaces, as it is written.
    Whitespace,
    /// Characters that are not spaces, as they are written.
    Characters,
    /// Pieces of what stands between spaces, as it is written.
    Bpe,
}

impl Pipeline {
    /// A tokenizer of this kind over a model that has the special tokens.
    pub fn tokenizer(self, model: impl Into<ModelWrapper>) -> Result<Tokenizer> {
        let mut inner = Tokenizer::new(model);
        self.cut(&mut inner)?;
        inner.with_post_processor(Some(template()?));
        inner.add_special_tokens(special_tokens())?;
        Ok(inner)
    }

    /// Has a tokenizer cut texts in this way, and put them together again.
    pub fn cut(self, tokenizer: &mut Tokenizer) -> Result<()> {
        tokenizer.with_normalizer(Some(self.normalizer()?))?;
        tokenizer.with_pre_tokenizer(Some(self.pre_tokenizer()?));
        tokenizer.with_decoder(self.decoder()?);
        Ok(())
    }

    /// Whether a tokenizer cuts texts in this way.
    pub fn is_of(self, tokenizer: &Tokenizer) -> bool {
        let own = self.pre_tokenizer().ok().and_then(|own| serde_json::to_value(own).ok());
        own.is_some() && own == serde_json::to_value(tokenizer.get_pre_tokenizer()).ok()
    }

    fn normalizer(self) -> Result<NormalizerWrapper> {
        let spaces = |with: &str| Replace::new(ReplacePattern::Regex(r"\s+".into()), with);
        let trimmed = |with: &str| -> Result<Vec<NormalizerWrapper>> {
            Ok(vec![NFC.into(), Strip::new(true, true).into(), spaces(with)?.into()])
        };
        let all = match self {
            Self::Ptb => vec![NFC.into(), Lowercase.into(), Replace::new("\u{2019}", "'")?.into()],
            Self::Whitespace => vec![NFC.into()],
            Self::Characters => trimmed(&SPACE.to_string())?,
            Self::Bpe => trimmed(" ")?,
        };
        Ok(Sequence::new(all).into())
    }

    fn pre_tokenizer(self) -> Result<PreTokenizerWrapper> {
        let regex = |pattern: &str| SplitPattern::Regex(pattern.into());
        Ok(match self {
            Self::Ptb => Split::new(regex(WORD), SplitDelimiterBehavior::Removed, true)?.into(),
            Self::Whitespace => WhitespaceSplit.into(),
            Self::Characters => {
                let character = CHARACTER.replace(r"\u{2581}", &SPACE.to_string());
                Split::new(regex(&character), SplitDelimiterBehavior::Isolated, false)?.into()
            }
            Self::Bpe => metaspace().into(),
        })
    }

    /// Nothing where words are joined by spaces.
    fn decoder(self) -> Result<Option<DecoderWrapper>> {
        Ok(match self {
            Self::Ptb | Self::Whitespace => None,
            Self::Characters => Some(Replace::new(SPACE.to_string(), " ")?.into()),
            Self::Bpe => Some(metaspace().into()),
        })
    }
}

fn metaspace() -> Metaspace {
    Metaspace::new(SPACE, PrependScheme::Always, true)
}

/// `<start>`, the caption and `<end>`.
fn template() -> Result<TemplateProcessing> {
    let template = TemplateProcessing::builder()
        .try_single("<start> $A <end>")?
        .try_pair("<start> $A <end> $B:1 <end>:1")?
        .special_tokens(vec![("<start>", START), ("<end>", END)])
        .build();
    Ok(template.map_err(|error| error.to_string())?)
}

pub(super) fn special_tokens() -> Vec<AddedToken> {
    SPECIALS.map(|(token, _)| AddedToken::from(token, true)).to_vec()
}
