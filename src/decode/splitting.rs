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
    /// How many values have no known form, and why the first one has not.
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
        let Self {
            mut splitter,
            known,
            unknown,
            ..
        } = self;
        let mut problems = Vec::new();
        let is_known = known || splitter.unreadable > 0 || splitter.has_list && unknown == 0;
        if is_known {
            // If other values have a known form, those that have not are a loss.
            splitter.unreadable += unknown;
            let first = match &splitter.first_unreadable {
                Some(first) => first,
                None => self.first_unknown,
            };
            if splitter.unreadable > 0 {
                problems.push(format!(
                    "has {} that can't be read, the first one {first}",
                    count(splitter.unreadable, "record")
                ));
            }
            outcome.found += splitter.unreadable + splitter.lines;
            outcome.unreadable += splitter.unreadable;
            outcome.other += splitter.lines;
        }
        if let Some(failure) = failure.or_else(|| {
            splitter
                .incomplete()
                .then(|| "is truncated: its JSON ends in the middle of a record or list".to_owned())
        }) {
            outcome.damaged = true;
            problems.push(failure);
        }
        if splitter.gave_up {
            outcome.damaged = true;
            problems.push("is too broken to be searched for all that it may hold".to_owned());
        }
        if splitter.garbage > 0 {
            outcome.damaged = true;
            problems.push(format!(
                "has {} that are not JSON",
                count(splitter.garbage, "byte")
            ));
        }
        if is_known {
            outcome.problems.extend(problems);
            return Ok(());
        }
        let why = problems.join("; it ");
        if splitter.documents > 0 {
            bail!(
                "is JSON, but without a list of Records or another form of CloudTrail events{}{}{}{why}",
                if unknown > 0 { ": what it holds " } else { "" },
                self.first_unknown,
                if why.is_empty() { "" } else { "; it " }
            );
        }
        bail!(
            "{}{}{why}",
            if self.is_compressed {
                "is compressed, but holds no JSON"
            } else {
                "is neither gzip nor JSON with a list of Records"
            },
            if why.is_empty() { "" } else { ": it " }
        );
    }
}
