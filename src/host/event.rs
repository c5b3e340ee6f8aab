//! Plugin events: a CloudTrail record behind a header.
//!
//! Hosts may ask for each field of an event by a call of its own, so what every call does is done by hand.

use std::ffi::CStr;
use std::slice;

use falco_plugin::api::ss_plugin_event;
use falco_plugin::event::events::{AnyEventPayload, PayloadFromBytesError, RawEvent};

/// The sources of events that are ours, as JSON.
pub(super) const EVENT_SOURCES: &CStr = c"[\"aws_cloudtrail\"]";

/// The types of events that are ours: that of plugin events, `PPME_PLUGINEVENT_E`.
pub(super) const EVENT_TYPES: &[u16] = &[PLUGIN_EVENT];

const PLUGIN_EVENT: u16 = 322;

/// The length of the header that all events have: time, thread, length, type, number of parameters.
const HEADER: usize = size_of::<ss_plugin_event>();

/// The record in a plugin event; nothing in another event.
///
/// # Safety
/// `event` is null or an event, of as many bytes as its header says, that lasts for `'a`.
#[inline(always)]
pub(super) unsafe fn record_of<'a>(event: *const ss_plugin_event) -> Option<&'a [u8]> {
    if event.is_null() {
        return None;
    }
    // SAFETY: the caller promises an event; it may stand at any address.
    let header = unsafe { event.read_unaligned() };
    if header.type_ != PLUGIN_EVENT {
        return None;
    }
    // SAFETY: the header tells how many bytes there are.
    let bytes = unsafe { slice::from_raw_parts(event.cast::<u8>(), header.len as usize) };
    parameter_of(bytes.get(HEADER..)?)
}

/// Two lengths, the ID of the plugin, the record.
#[inline(always)]
fn parameter_of(payload: &[u8]) -> Option<&[u8]> {
    match payload {
        [4, 0, 0, 0, a, b, c, d, _, _, _, _, record @ ..]
            if u32::from_ne_bytes([*a, *b, *c, *d]) as usize == record.len() =>
        {
            Some(record)
        }
        _ => None,
    }
}

/// The record in a plugin event, for falco_plugin.
#[derive(Debug)]
pub struct Payload<'a>(pub &'a [u8]);

impl AnyEventPayload for Payload<'_> {
    const SOURCES: &'static [Option<&'static str>] = &[Some("aws_cloudtrail")];
    const EVENT_TYPES: &'static [u16] = EVENT_TYPES;
}

impl<'a> TryFrom<&RawEvent<'a>> for Payload<'a> {
    type Error = PayloadFromBytesError;

    fn try_from(event: &RawEvent<'a>) -> Result<Self, Self::Error> {
        if event.event_type != PLUGIN_EVENT {
            return Err(PayloadFromBytesError::UnsupportedEventType(
                event.event_type,
            ));
        }
        let record = parameter_of(event.payload);
        record.map(Self).ok_or(PayloadFromBytesError::TypeMismatch)
    }
}
