//! The words of `purpose`.

/// What a profile is for (`purpose`); `model_type` uses the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the language, section 1")]
pub enum Purpose {
    Chat,
    Image,
    Video,
    Audio,
    Music,
    Transcription,
    Embedding,
    ThreeD,
    Document,
    Code,
    Multimodal,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: &'static [Self] = &[
        Self::Chat,
        Self::Image,
        Self::Video,
        Self::Audio,
        Self::Music,
        Self::Transcription,
        Self::Embedding,
        Self::ThreeD,
        Self::Document,
        Self::Code,
        Self::Multimodal,
    ];

    /// As rows write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Music => "music",
            Self::Transcription => "transcription",
            Self::Embedding => "embedding",
            Self::ThreeD => "3d",
            Self::Document => "document",
            Self::Code => "code",
            Self::Multimodal => "multimodal",
        }
    }

    /// Reads a word of a row; `text` means `chat`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = if word == "text" { "chat" } else { word };
        Self::ALL
            .iter()
            .copied()
            .find(|purpose| purpose.as_str() == word)
    }
}
