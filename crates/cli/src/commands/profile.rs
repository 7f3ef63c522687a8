//! `modelrow profile …`: the rows that describe providers.

pub(crate) mod apply;
pub(crate) mod callback_url;
pub(crate) mod check;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod list;
pub(crate) mod new;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod schemas;
pub(crate) mod status;
pub(crate) mod test;
