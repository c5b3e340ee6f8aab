//! Plugin events: a CloudTrail record behind a header.
//!
//! Hosts may ask for each field of an event by a call of its own, so what every call does is done by hand.

use falco_plugin::event::events::{AnyEventPayload, PayloadFromBytesError, RawEvent};

/// The type of plugin events, `PPME_PLUGINEVENT_E`.
const PLUGIN_EVENT: u16 = 322;

/// The record in a plugin event.
#[derive(Debug)]
pub struct Payload<'a>(pub &'a [u8]);

impl AnyEventPayload for Payload<'_> {
    const SOURCES: &'static [Option<&'static str>] = &[Some("aws_cloudtrail")];
    const EVENT_TYPES: &'static [u16] = &[PLUGIN_EVENT];
}

impl<'a> TryFrom<&RawEvent<'a>> for Payload<'a> {
    type Error = PayloadFromBytesError;

    #[inline]
    fn try_from(event: &RawEvent<'a>) -> Result<Self, Self::Error> {
        if event.event_type != PLUGIN_EVENT {
            return Err(PayloadFromBytesError::UnsupportedEventType(
                event.event_type,
            ));
        }
        // Two lengths, the ID of the plugin, the record.
        match event.payload {
            [4, 0, 0, 0, a, b, c, d, _, _, _, _, record @ ..]
                if u32::from_ne_bytes([*a, *b, *c, *d]) as usize == record.len() =>
            {
                Ok(Self(record))
            }
            _ => Err(PayloadFromBytesError::TypeMismatch),
        }
    }
}
