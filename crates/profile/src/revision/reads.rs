//! What an exchange and the judgement of a poll read of the variables.

use super::{Address, ErrorTable, Exchange, Match, Poll, Webhook};
use crate::lang::{Read, Root, VarsTable};

impl Exchange {
    /// Shows every name that the request reads, of its `vars` too.
    pub fn reads(&self, vars: &VarsTable, see: &mut dyn FnMut(Read<'_>)) {
        let see = &mut through(vars, see);
        match &self.address {
            Address::Path { base_url, path } => {
                base_url.iter().for_each(|text| text.reads(see));
                path.reads(see);
            }
            Address::Url(text) => text.reads(see),
        }
        let headers = self.headers.iter().chain(&self.own_headers);
        headers.for_each(|(_, text)| text.reads(see));
        let query = self.query.iter().chain(&self.own_query);
        query.for_each(|(_, tree)| tree.reads(see));
        self.body.iter().for_each(|body| body.tree.reads(see));
    }
}

impl Poll {
    /// Shows every name that judging an answer reads.
    pub fn judgement_reads(&self, vars: &VarsTable, see: &mut dyn FnMut(Read<'_>)) {
        let see = &mut through(vars, see);
        let own = self.select.iter().flat_map(|select| &select.filter);
        let of_batch = self.batch.iter().filter_map(|batch| batch.filter());
        own.chain(of_batch).for_each(|one| one.reads(see));
        matches_read(self.states.iter().flat_map(|(_, list)| list), see);
    }
}

impl Webhook {
    /// Shows every name that judging a callback reads.
    pub fn reads(&self, vars: &VarsTable, see: &mut dyn FnMut(Read<'_>)) {
        let see = &mut through(vars, see);
        self.when.iter().for_each(|when| when.reads(see));
    }
}

impl ErrorTable {
    /// Shows every name that its conditions read.
    pub fn reads(&self, vars: &VarsTable, see: &mut dyn FnMut(Read<'_>)) {
        let see = &mut through(vars, see);
        let classes = self.classes.iter().flat_map(|(_, list)| list);
        matches_read(self.ok.iter().flatten().chain(classes), see);
    }
}

fn matches_read<'m>(list: impl Iterator<Item = &'m Match>, see: &mut dyn FnMut(Read<'_>)) {
    for one in list {
        if let Match::Condition(condition) = one {
            condition.reads(see);
        }
    }
}

/// Shows what a var reads in place of the var.
fn through<'a>(
    vars: &'a VarsTable,
    see: &'a mut dyn FnMut(Read<'_>),
) -> impl FnMut(Read<'_>) + use<'a> {
    move |read| match read.name.root {
        Root::Vars => vars.reads(read.name.key().unwrap_or_default(), see),
        _ => see(read),
    }
}
