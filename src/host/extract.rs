//! Answers the host's requests for fields. Values are written into the host's structures, in memory that lasts as long as
//! its call.

use std::ffi::{CStr, CString, c_char};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bumpalo::Bump;
use falco_plugin::api::{ss_plugin_extract_field, ss_plugin_extract_value_offsets};

use crate::fields::origin::{Origins, Part, Sessions, may_tell};
use crate::fields::{
    self, Argument, Asked, Beside, COMPUTED, Cache, FIELDS, Field, Possible, Source, Text, Values,
    text_at,
};
use crate::geo::{self, Atlas, Places};
use crate::record::{Member, Record, Value};

/// Where an event's payload begins, after its header. Ranges count from the start of the event.
pub(crate) const PAYLOAD: usize = 38;

/// What a call asks for, as [`Cache`] keeps it in mind.
#[inline]
fn asked(requests: &[ss_plugin_extract_field]) -> Asked {
    let [request] = requests else {
        return None;
    };
    // A host keeps the argument of a condition at the same address.
    let argument = (request.arg_key.addr() >> 3) ^ request.arg_index as usize;
    fields::asked(
        request.field_id as usize,
        (request.arg_present != 0).then_some(argument),
    )
}

/// Extracts fields, and remembers the last record in a `Cache`. What records tell of sessions is noted on the way.
pub struct Extractor {
    cache: Cache,
    sessions: Arc<Sessions>,
    beside: Beside,
}

impl Default for Extractor {
    /// One of its own, without databases.
    fn default() -> Self {
        Self::new(&Arc::default(), &Arc::default())
    }
}

impl Extractor {
    /// One that notes and asks what is known of these sessions, and of where addresses are from.
    pub(crate) fn new(sessions: &Arc<Sessions>, atlas: &Arc<Atlas>) -> Self {
        Self {
            cache: Cache::default(),
            sessions: Arc::clone(sessions),
            beside: Beside {
                origins: Some(Origins::new(sessions)),
                places: Places::new(atlas),
            },
        }
    }

    /// Forgets the last record.
    pub fn reset(&mut self) {
        self.cache = Cache::default();
        self.beside.forget();
    }

    /// Takes note of an event of which no field may be asked for.
    pub fn parse(&self, payload: &[u8]) {
        if may_tell(payload) {
            self.sessions.note_bytes(payload);
        }
    }

    /// Answers a request of the host for some fields of an event.
    ///
    /// # Errors
    /// For an unknown field, and for an argument to a field that takes none.
    pub fn extract_fields(
        &mut self,
        event_number: u64,
        payload: &[u8],
        fields: &mut [ss_plugin_extract_field],
        offsets: Option<&mut ss_plugin_extract_value_offsets>,
        storage: &Bump,
    ) -> anyhow::Result<()> {
        let asked = asked(fields);
        let Self {
            cache,
            sessions,
            beside,
        } = self;
        // One field that shows one member: what rules ask for most, call by call.
        if let ([request], None) = (&mut *fields, &offsets)
            && let Some(field) = FIELDS.get(request.field_id as usize)
            && let Some(member) = shown(field, request)
        {
            let mut record = record(cache, sessions, beside, event_number, payload, asked);
            put_value(request, record.get(member), storage);
            return Ok(());
        }
        let mut record = record(cache, sessions, beside, event_number, payload, asked);
        let mut places = offsets.map(|offsets| {
            let starts = storage.alloc_slice_fill_copy(fields.len(), 0u32);
            let lengths = storage.alloc_slice_fill_copy(fields.len(), 0u32);
            offsets.start = starts.as_mut_ptr();
            offsets.length = lengths.as_mut_ptr();
            (starts, lengths)
        });
        // Worth it where most are asked for.
        let possible = match fields.len() {
            few if few < FIELDS.len() / 2 => Possible::ALL,
            _ => Possible::of(&mut record),
        };
        for (at, request) in fields.iter_mut().enumerate() {
            let number = request.field_id as usize;
            let field = FIELDS
                .get(number)
                .context("the host asks for a field that does not exist")?;
            if !possible.has(number) {
                request.res_len = 0;
                request.res.str_ = std::ptr::null_mut();
                continue;
            }
            let range = extract(field, &mut record, beside, request, storage)?;
            if let Some((starts, lengths)) = &mut places
                && !range.is_empty()
            {
                starts[at] = (PAYLOAD + range.start) as u32;
                lengths[at] = range.len() as u32;
            }
        }
        Ok(())
    }

    /// The event in one line.
    pub fn event_string(&mut self, payload: &[u8]) -> CString {
        let number = self.cache.number();
        let Self {
            cache,
            sessions,
            beside,
        } = self;
        let mut record = record(cache, sessions, beside, number, payload, None);
        CString::new(fields::describe(&mut record)).unwrap_or_default()
    }
}

/// The record of an event. What a new one tells of sessions is noted.
#[inline(always)]
fn record<'a>(
    cache: &'a mut Cache,
    sessions: &Sessions,
    beside: &mut Beside,
    number: u64,
    payload: &'a [u8],
    asked: Asked,
) -> Record<'a> {
    if !cache.is_last(number, payload, asked) {
        note(sessions, beside, &mut cache.record(payload));
    }
    cache.record(payload)
}

#[inline(never)]
fn note(sessions: &Sessions, beside: &mut Beside, record: &mut Record<'_>) {
    sessions.note(record);
    beside.forget();
}

/// The member that a field shows as it is, and nothing else.
#[inline(always)]
fn shown(field: &Field, request: &ss_plugin_extract_field) -> Option<Member> {
    match field.source {
        Source::Text(member) if request.arg_present == 0 => Some(member),
        _ => None,
    }
}

/// Writes the value into `request`, and returns its place in the record.
// Inlined, as is all that it does for a single member: that is what most fields show.
#[inline(always)]
fn extract(
    field: &Field,
    record: &mut Record<'_>,
    beside: &mut Beside,
    request: &mut ss_plugin_extract_field,
    storage: &Bump,
) -> anyhow::Result<Range<usize>> {
    match shown(field, request) {
        Some(member) => Ok(put_value(request, record.get(member), storage)),
        None => extract_other(field, record, beside, request, storage),
    }
}

#[inline(never)]
fn extract_other(
    field: &Field,
    record: &mut Record<'_>,
    beside: &mut Beside,
    request: &mut ss_plugin_extract_field,
    storage: &Bump,
) -> anyhow::Result<Range<usize>> {
    let has_argument = request.arg_present != 0;
    ensure!(
        field.is_list() || field.is_pointed() || !has_argument,
        "the field {} takes no argument",
        field.name
    );
    let argument = match has_argument {
        true if field.is_list() => Argument::Index(request.arg_index),
        true if !request.arg_key.is_null() => {
            // SAFETY: a C string of the host's.
            Argument::Pointer(unsafe { CStr::from_ptr(request.arg_key) }.to_bytes())
        }
        _ => Argument::None,
    };
    if let Source::Origin(part) = field.source
        && part != Part::Length
    {
        // As it is kept, without a copy.
        let origins = beside.origins.as_mut();
        let text = origins.and_then(|origins| origins.origin(record).text(part));
        return Ok(put_text(
            request,
            text.map(|text| (text.into(), COMPUTED)),
            storage,
        ));
    }
    if let Source::Geo(part) = field.source
        && part != geo::Part::Asn
    {
        let text = fields::place(record, beside).and_then(|place| place.text(part));
        let text = text.map(|text| (text.as_bytes().into(), COMPUTED));
        return Ok(put_text(request, text, storage));
    }
    Ok(match field.values(record, argument, beside) {
        Values::Value(value) => put_value(request, value, storage),
        Values::Text(text) => put_text(request, text, storage),
        Values::Number(number) => put_number(request, number, storage),
        Values::Flag(flag) => {
            let text = if flag { c"true" } else { c"false" };
            request.res.str_ = storage.alloc(text.as_ptr());
            request.res_len = 1;
            COMPUTED
        }
        Values::List(texts) => {
            let strings = storage
                .alloc_slice_fill_iter(texts.iter().map(|(text, _)| c_string(text, storage)));
            request.res.str_ = strings.as_mut_ptr();
            request.res_len = strings.len() as u64;
            texts.first().map_or(COMPUTED, |(_, range)| range.clone())
        }
    })
}

/// Writes a value's text into `request`, and returns its place.
#[inline(always)]
fn put_value(
    request: &mut ss_plugin_extract_field,
    value: Option<Value<'_>>,
    storage: &Bump,
) -> Range<usize> {
    let Some(value) = value else {
        request.res_len = 0;
        request.res.str_ = std::ptr::null_mut();
        return COMPUTED;
    };
    let Some(string) = value.plain_string() else {
        return put_text(request, text_at(value), storage);
    };
    // Copied together with the closing quote, which is then replaced by the NUL.
    let string = storage.alloc_slice_copy(string);
    string[string.len() - 1] = 0;
    request.res.str_ = storage.alloc(string.as_ptr().cast());
    request.res_len = 1;
    value.range()
}

#[inline(never)]
fn put_text(
    request: &mut ss_plugin_extract_field,
    text: Option<Text<'_>>,
    storage: &Bump,
) -> Range<usize> {
    request.res_len = u64::from(text.is_some());
    let Some((text, range)) = text else {
        request.res.str_ = std::ptr::null_mut();
        return COMPUTED;
    };
    request.res.str_ = storage.alloc(c_string(&text, storage));
    range
}

fn put_number(
    request: &mut ss_plugin_extract_field,
    number: Option<(u64, Range<usize>)>,
    storage: &Bump,
) -> Range<usize> {
    request.res_len = u64::from(number.is_some());
    let Some((number, range)) = number else {
        request.res.u64_ = std::ptr::null_mut();
        return COMPUTED;
    };
    request.res.u64_ = storage.alloc(number);
    range
}

fn c_string(text: &[u8], storage: &Bump) -> *const c_char {
    let mut string = bumpalo::collections::Vec::with_capacity_in(text.len() + 1, storage);
    string.extend_from_slices_copy(&[text, &[0]]);
    string.into_bump_slice().as_ptr().cast()
}

/// Asks as a host does.
#[cfg(any(fuzzing, test))]
pub(crate) mod asking {
    use std::ffi::CStr;

    use falco_plugin::api::ss_plugin_extract_field__bindgen_ty_1;
    pub use falco_plugin::api::{
        ss_plugin_extract_field as Request, ss_plugin_extract_value_offsets as Offsets,
    };

    use crate::fields::FIELDS;

    pub fn request(field: usize) -> Request {
        Request {
            res: ss_plugin_extract_field__bindgen_ty_1 {
                u64_: std::ptr::null_mut(),
            },
            res_len: 0,
            field_id: field as u32,
            field: std::ptr::null(),
            arg_key: std::ptr::null(),
            arg_index: 0,
            arg_present: 0,
            ftype: 0,
            flist: 0,
        }
    }

    /// A field's values as text.
    pub fn values(request: &Request) -> Vec<String> {
        let count = request.res_len as usize;
        let values = (0..count).map(|at| match FIELDS[request.field_id as usize].kind() {
            // SAFETY: there are so many numbers.
            "uint64" => unsafe { (*request.res.u64_.add(at)).to_string() },
            _ => {
                // SAFETY: there are so many C strings.
                let value = unsafe { CStr::from_ptr(*request.res.str_.add(at)) };
                value.to_str().expect("UTF-8").to_owned()
            }
        });
        values.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use falco_plugin::api::ss_plugin_extract_field__bindgen_ty_1;

    fn request(name: &str, index: Option<u64>) -> ss_plugin_extract_field {
        let null = ss_plugin_extract_field__bindgen_ty_1 {
            u64_: std::ptr::null_mut(),
        };
        ss_plugin_extract_field {
            res: null,
            // As left over from another event.
            res_len: 7,
            field_id: FIELDS
                .iter()
                .position(|field| field.name == name)
                .expect("a field") as u32,
            field: std::ptr::null(),
            arg_key: std::ptr::null(),
            arg_index: index.unwrap_or(0),
            arg_present: u32::from(index.is_some()),
            ftype: 0,
            flist: 0,
        }
    }

    /// A string field's values, asked for by themselves.
    fn ask(
        extractor: &mut Extractor,
        payload: &[u8],
        name: &str,
        index: Option<u64>,
    ) -> anyhow::Result<Vec<String>> {
        let storage = Bump::new();
        let mut requests = [request(name, index)];
        extractor.extract_fields(1, payload, &mut requests, None, &storage)?;
        let values = (0..requests[0].res_len as usize).map(|at| {
            // SAFETY: there are so many C strings.
            let value = unsafe { CStr::from_ptr(*requests[0].res.str_.add(at)) };
            value.to_str().expect("UTF-8").to_owned()
        });
        Ok(values.collect())
    }

    #[test]
    fn another_event_in_the_same_place_has_its_own_values() {
        let id = "00000000-0000-0000-0000-00000000000";
        let mut extractor = Extractor::default();
        // Number, address and length stay the same, and what is where does not.
        let mut buffer = Vec::with_capacity(1000);
        let mut next = |id: &str, name: &str, region: &str, questions: &[(&str, &str)]| {
            assert_eq!(name.len() + region.len(), 6);
            let event =
                format!(r#"{{"eventID":"{id}","eventName":"{name}","awsRegion":"{region}"}}"#);
            buffer.clear();
            buffer.extend_from_slice(event.as_bytes());
            for (field, answer) in questions {
                let values = ask(&mut extractor, &buffer, field, None).expect("values");
                assert_eq!(values, [answer.to_string()], "{field} of {event}");
            }
        };
        let (name, region, info) = ("ct.name", "ct.region", "ct.info");
        next(
            &format!("{id}1"),
            "a",
            "bbbbb",
            &[(name, "a"), (region, "bbbbb")],
        );
        // Another ID, then a field not asked for so far, or one that was.
        next(
            &format!("{id}2"),
            "aa",
            "bbbb",
            &[(info, "← aa"), (name, "aa")],
        );
        next(
            &format!("{id}3"),
            "aaa",
            "bbb",
            &[(name, "aaa"), (name, "aaa"), (info, "← aaa")],
        );
        // The same ID, and a field asked for before.
        next(
            &format!("{id}3"),
            "aaaa",
            "bb",
            &[(name, "aaaa"), (region, "bb"), (name, "aaaa")],
        );
        // No ID that tells events apart.
        next("x", "a", "bbbbb", &[(name, "a")]);
        next("x", "aa", "bbbb", &[(region, "bbbb"), (name, "aa")]);
        next("x", "aaa", "bbb", &[(info, "← aaa"), (region, "bbb")]);
    }

    #[test]
    fn the_event_as_a_string_is_that_of_its_own_bytes() {
        let id = r#""eventID":"00000000-0000-0000-0000-000000000000""#;
        let mut extractor = Extractor::default();
        let mut buffer = format!(r#"{{{id},"eventName":"a","awsRegion":"bb"}}"#).into_bytes();
        ask(&mut extractor, &buffer, "ct.name", None).expect("values");
        assert_eq!(extractor.event_string(&buffer).to_str(), Ok("bb a ← a"));
        buffer.copy_from_slice(format!(r#"{{{id},"eventName":"aa","awsRegion":"b"}}"#).as_bytes());
        assert_eq!(extractor.event_string(&buffer).to_str(), Ok("b aa ← aa"));
    }

    #[test]
    fn what_an_event_tells_of_a_session_is_noted_whatever_is_asked_of_it_first() {
        let given = br#"{"userIdentity":{"type":"IAMUser","userName":"alice"},"eventSource":"sts.amazonaws.com","responseElements":{"credentials":{"accessKeyId":"ASIA0000000000000001"}},"eventID":"1"}"#;
        let used = br#"{"userIdentity":{"type":"AssumedRole","accessKeyId":"ASIA0000000000000001"},"eventID":"2"}"#;
        let asked: [&dyn Fn(&mut Extractor); 3] = [
            &|extractor| drop(extractor.event_string(given)),
            &|extractor| drop(ask(extractor, given, "ct.name", None)),
            &|extractor| extractor.parse(given),
        ];
        for first in asked {
            let mut extractor = Extractor::default();
            first(&mut extractor);
            let origin = ask(&mut extractor, used, "ct.origin", None).expect("values");
            assert_eq!(origin, ["alice"]);
        }
    }

    #[test]
    fn a_question_that_makes_no_sense_is_refused() {
        let mut extractor = Extractor::default();
        let error = ask(&mut extractor, b"{}", "ct.name", Some(0)).expect_err("no index possible");
        assert_eq!(error.to_string(), "the field ct.name takes no argument");
        let mut unknown = [request("ct.name", None)];
        unknown[0].field_id = FIELDS.len() as u32;
        extractor
            .extract_fields(1, b"{}", &mut unknown, None, &Bump::new())
            .expect_err("no such field");
    }

    #[test]
    fn ranges_count_from_the_event_and_are_zero_where_there_is_none() {
        let payload = br#"{"eventName":"a","requestParameters":{}}"#;
        let storage = Bump::new();
        let names = ["ct.request", "ct.error", "ct.name", "ct.info"];
        let mut requests = names.map(|name| request(name, None));
        let mut offsets = ss_plugin_extract_value_offsets {
            start: std::ptr::null_mut(),
            length: std::ptr::null_mut(),
        };
        Extractor::default()
            .extract_fields(1, payload, &mut requests, Some(&mut offsets), &storage)
            .expect("values");
        assert_eq!(requests.map(|request| request.res_len), [1, 0, 1, 1]);
        for (at, expected) in [(PAYLOAD + 37, 2), (0, 0), (PAYLOAD + 13, 3), (0, 0)]
            .into_iter()
            .enumerate()
        {
            // SAFETY: the arrays are as long as there are requests.
            let range = unsafe { (*offsets.start.add(at) as usize, *offsets.length.add(at)) };
            assert_eq!(range, expected, "{}", names[at]);
        }
    }
}
