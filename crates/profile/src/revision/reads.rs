//! What an exchange and the judgement of a poll read of the variables.

use super::{
    Action, Address, Download, ErrorTable, Exchange, Match, Poll, Response, Revision, Webhook,
};
use crate::lang::{Read, Root, VarsTable};

impl Revision {
    /// Shows every name that decides what a run gives, beside the requests that can be rendered before it: conditions,
    /// judgements, how files are fetched, the output. What follows the end is not among them.
    pub fn reads_beside_requests(&self, see: &mut dyn FnMut(Read<'_>)) {
        self.errors.reads(&self.vars, see);
        let steps = || self.workflow.before.iter().chain(&self.workflow.steps);
        for step in steps() {
            match &step.action {
                Action::Poll(poll) => poll.judgement_reads(&self.vars, see),
                Action::Download(download) => download.reads(&self.vars, see),
                Action::Request => {}
            }
        }
        self.response.reads(&self.vars, see);
        let see = &mut through(&self.vars, see);
        let whens = steps().filter_map(|step| step.when.as_ref());
        let whens = whens.chain(
            self.submits
                .iter()
                .filter_map(|submit| submit.when.as_ref()),
        );
        whens.for_each(|when| when.reads(see));
    }
}

impl Response {
    fn reads(&self, vars: &VarsTable, see: &mut dyn FnMut(Read<'_>)) {
        let see = &mut through(vars, see);
        if let Some(stream) = &self.stream {
            stream.when.iter().for_each(|when| when.reads(see));
            stream.done.reads(see);
        }
        self.output.iter().for_each(|tree| tree.reads(see));
    }
}

impl Download {
    fn reads(&self, vars: &VarsTable, see: &mut dyn FnMut(Read<'_>)) {
        let (see, fetch) = (&mut through(vars, see), &self.fetch);
        let texts = self.content_type.iter().chain(&fetch.base_url);
        texts.for_each(|text| text.reads(see));
        let headers = fetch.headers.iter().chain(&fetch.own_headers);
        headers.for_each(|(_, text)| text.reads(see));
        let query = fetch.query.iter().chain(&fetch.own_query);
        query.for_each(|(_, tree)| tree.reads(see));
        fetch.body.iter().for_each(|body| body.tree.reads(see));
    }
}

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
