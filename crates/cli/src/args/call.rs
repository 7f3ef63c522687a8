//! What a call asks for.

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct CallArgs {
    /// What to make: video, image, audio, chat, …
    #[arg(long, default_value = "video")]
    pub(crate) purpose: String,
    /// Only profiles of this provider
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// The API's model id; the purpose's default model without it
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// One profile by its key
    #[arg(long, value_name = "KEY")]
    pub(crate) profile: Option<String>,
    /// The text the job is made from
    #[arg(long)]
    pub(crate) prompt: Option<String>,
    /// An option of the model, `name=value`; JSON values keep their type
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// A file or address for an input of the model, `name=cat.png`
    #[arg(long = "input", value_name = "NAME=FILE|URL")]
    pub(crate) inputs: Vec<String>,
    /// A free value for templates, `name=value`
    #[arg(long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<String>,
    /// Language of the answer, for templates and routing rules
    #[arg(long)]
    pub(crate) language: Option<String>,
    /// Most tokens of the answer, for templates and routing rules
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
    /// What the call is for: a fact that routing rules choose by
    #[arg(long)]
    pub(crate) feature: Option<String>,
    /// A value of your own, `name=value`: shown with the run, and a fact for routing rules
    #[arg(long = "metadata", value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
}
