//! Splits files that are damaged or have another form than CloudTrail's own.

use anyhow::{Result, bail};

use super::chunk::RecordSpan;
use super::{Decode, Outcome};
use crate::formats::shapes::{self, ValueKind};
use crate::formats::split::Found;
use crate::formats::splitter::{Candidate, Splitter};
use crate::stats::count;

/// One file on its way through the splitter.
pub(super) struct Splitting<'a> {
    decode: &'a Decode,
    is_compressed: bool,
    pub splitter: Splitter,
    found: Vec<Candidate>,
    /// How many values have no known form, and what the first of them is.
    unknown: u64,
    first_unknown: &'static str,
    /// A value had a known form.
    known: bool,
}

impl<'a> Splitting<'a> {
    pub fn new(decode: &'a Decode, is_compressed: bool) -> Self {
        Self {
            decode,
            is_compressed,
            splitter: Splitter::new(decode.largest),
            found: Vec::new(),
            unknown: 0,
            first_unknown: "",
            known: false,
        }
    }

    /// See [`Splitter::run`].
    pub fn run(
        &mut self,
        data: &mut [u8],
        end: bool,
        records: &mut Vec<RecordSpan>,
        outcome: &mut Outcome,
    ) -> usize {
        let used = self.splitter.run(data, end, &mut self.found);
        for Candidate { range, is_record } in self.found.drain(..) {
            let content = match is_record {
                true => shapes::look_at_record(data, range),
                false => shapes::look_into(data, range),
            };
            self.known |= !matches!(content, ValueKind::Unknown(_));
            match content {
                ValueKind::Record(range) => {
                    let found = Found { range, time: None };
                    self.decode.add(data, found, records, outcome);
                }
                ValueKind::Nothing => {}
                ValueKind::Other => {
                    outcome.found += 1;
                    outcome.other += 1;
                }
                ValueKind::Unknown(why) => {
                    if self.unknown == 0 {
                        self.first_unknown = why;
                    }
                    self.unknown += 1;
                }
                ValueKind::Broken(why) => {
                    self.splitter.unreadable += 1;
                    self.splitter.first_unreadable.get_or_insert(why);
                }
            }
        }
        used
    }

    /// The size of the places that it has found.
    #[cfg(any(fuzzing, test))]
    pub fn held(&self) -> usize {
        self.found.capacity() * size_of::<Candidate>()
    }

    /// What became of the file, whose reading may have met a `failure`.
    pub fn finish(self, failure: Option<String>, outcome: &mut Outcome) -> Result<()> {
        let splitter = &self.splitter;
        let holds_events =
            self.known || splitter.unreadable > 0 || splitter.has_list && self.unknown == 0;
        let damage = self.damage(failure);
        outcome.damaged |= !damage.is_empty();
        if !holds_events {
            bail!(self.why_nothing(&damage.join("; it ")));
        }
        let unreadable = self.count_lost(outcome);
        outcome.problems.extend(unreadable);
        outcome.problems.extend(damage);
        Ok(())
    }

    /// What is wrong with the file as a whole.
    fn damage(&self, failure: Option<String>) -> Vec<String> {
        let splitter = &self.splitter;
        let cut = || "is truncated: its JSON ends in the middle of a record or list".to_owned();
        let failure = failure.or_else(|| splitter.incomplete().then(cut));
        let mut damage = Vec::from_iter(failure);
        if splitter.gave_up {
            damage.push("is too broken to be searched completely".to_owned());
        }
        if splitter.garbage > 0 {
            let garbage = count(splitter.garbage, "byte");
            damage.push(format!("has {garbage} that are not JSON"));
        }
        damage
    }

    /// Enter the records that can't be read, and the lines of a log that hold no event, into the counters. Gives the words
    /// for the records, if there are any.
    fn count_lost(&self, outcome: &mut Outcome) -> Option<String> {
        let splitter = &self.splitter;
        // As other values have a known form, those that have none are lost records.
        let unreadable = splitter.unreadable + self.unknown;
        outcome.found += unreadable + splitter.lines;
        outcome.unreadable += unreadable;
        outcome.other += splitter.lines;
        let first = splitter.first_unreadable.as_deref();
        let first = first.unwrap_or(self.first_unknown);
        (unreadable > 0).then(|| {
            let unreadable = count(unreadable, "record");
            format!("has {unreadable} that can't be read, the first one {first}")
        })
    }

    /// Why the file holds no events, with its `damage`, if there is any.
    fn why_nothing(&self, damage: &str) -> String {
        if self.splitter.documents > 0 {
            return format!(
                "is JSON, but without a list of Records or another form of CloudTrail events{}{}{}{damage}",
                match self.unknown {
                    0 => "",
                    _ => ": what it holds ",
                },
                self.first_unknown,
                if damage.is_empty() { "" } else { "; it " }
            );
        }
        format!(
            "{}{}{damage}",
            match self.is_compressed {
                true => "is compressed, but holds no JSON",
                false => "is neither gzip nor JSON with a list of Records",
            },
            if damage.is_empty() { "" } else { ": it " }
        )
    }
}
