//! The plugin object that hosts hold: falco_plugin's, and beside it what is done for every event.
//!
//! Hosts ask for each field that a rule or filter compares by a call of its own. So `extract_fields` and `parse_event`
//! are ours; they take a third of the instructions of falco_plugin's, and are as careful.

use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;
use std::sync::Arc;

use anyhow::{Context, Result};
use bumpalo::Bump;
use falco_plugin::api::{
    ss_plugin_event_input, ss_plugin_field_extract_input, ss_plugin_rc,
    ss_plugin_rc_SS_PLUGIN_FAILURE as FAILURE, ss_plugin_rc_SS_PLUGIN_SUCCESS as SUCCESS,
    ss_plugin_t,
};

use super::event::record_of;
use super::extract::Extractor;
use super::host_error;
use crate::fields::origin::Sessions;
use crate::geo::Atlas;
use crate::process;

/// What a host's `ss_plugin_t` points to.
pub(super) struct Object {
    /// falco_plugin's object.
    sdk: *mut ss_plugin_t,
    extractor: Extractor,
    /// The values that the last call for fields returned.
    storage: Bump,
    /// Why the last call failed, if it was one of ours.
    error: Option<CString>,
}

impl Object {
    /// An object for the host around one of falco_plugin's, which is not null.
    pub fn wrap(
        sdk: *mut ss_plugin_t,
        sessions: &Arc<Sessions>,
        atlas: &Arc<Atlas>,
    ) -> *mut ss_plugin_t {
        let object = Self {
            sdk,
            extractor: Extractor::new(sessions, atlas),
            storage: Bump::new(),
            error: None,
        };
        Box::into_raw(Box::new(object)).cast()
    }

    /// # Safety
    /// `plugin` is null, or what [`Self::wrap`] has returned, and no longer used by anything else meanwhile.
    pub unsafe fn of<'a>(plugin: *mut ss_plugin_t) -> Option<&'a mut Self> {
        // SAFETY: what the caller promises.
        unsafe { plugin.cast::<Self>().as_mut() }
    }

    /// falco_plugin's object, for a call to it; null for null.
    ///
    /// # Safety
    /// As for [`Self::of`].
    pub unsafe fn sdk(plugin: *mut ss_plugin_t) -> *mut ss_plugin_t {
        // SAFETY: what the caller promises.
        let Some(object) = (unsafe { Self::of(plugin) }) else {
            return ptr::null_mut();
        };
        object.error = None;
        object.sdk
    }

    /// Ends the object, and returns falco_plugin's.
    ///
    /// # Safety
    /// As for [`Self::of`]; nothing uses the object from now on.
    pub unsafe fn unwrap(plugin: *mut ss_plugin_t) -> Option<*mut ss_plugin_t> {
        // SAFETY: what the caller promises; `wrap` has made a box of it.
        (!plugin.is_null()).then(|| unsafe { Box::from_raw(plugin.cast::<Self>()) }.sdk)
    }

    /// Why the last call failed, if it was one of ours.
    pub fn error(&self) -> Option<*const c_char> {
        self.error.as_ref().map(|error| error.as_ptr())
    }

    /// Another capture begins.
    pub fn reset(&mut self) {
        self.extractor.reset();
    }

    /// # Safety
    /// The pointers in `event` and `input` are those that a host is to give.
    pub unsafe fn extract_fields(
        &mut self,
        event: &ss_plugin_event_input,
        input: &ss_plugin_field_extract_input,
    ) -> ss_plugin_rc {
        if input.num_fields == 0 || input.fields.is_null() {
            return SUCCESS;
        }
        // SAFETY: there are so many fields.
        let fields = unsafe { slice::from_raw_parts_mut(input.fields, input.num_fields as usize) };
        // SAFETY: null, or two pointers to be set.
        let offsets = unsafe { input.value_offsets.as_mut() };
        self.guarded("extracting fields", |object| {
            // SAFETY: an event of the host's.
            let record = unsafe { record_of(event.evt) }.context(NOT_OURS)?;
            object.storage.reset();
            object
                .extractor
                .extract_fields(event.evtnum, record, fields, offsets, &object.storage)
        })
    }

    /// Hosts that read a capture file may ask for no field of an event that tells of a session, but parse each event.
    ///
    /// # Safety
    /// As for [`Self::extract_fields`].
    pub unsafe fn parse_event(&mut self, event: &ss_plugin_event_input) -> ss_plugin_rc {
        self.guarded("parsing an event", |object| {
            // SAFETY: an event of the host's.
            let record = unsafe { record_of(event.evt) }.context(NOT_OURS)?;
            object.extractor.parse(record);
            Ok(())
        })
    }

    #[inline(always)]
    fn guarded(&mut self, doing: &str, work: impl FnOnce(&mut Self) -> Result<()>) -> ss_plugin_rc {
        let work = || {
            #[cfg(test)]
            process::poisoned(doing);
            work(self)
        };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => SUCCESS,
            failed => {
                self.failed(failed.unwrap_or_else(|panic| Err(process::panicked(doing, &*panic))))
            }
        }
    }

    #[cold]
    fn failed(&mut self, result: Result<()>) -> ss_plugin_rc {
        if let Err(error) = result {
            let text = host_error(&error).to_string();
            self.error = Some(CString::new(text).unwrap_or_default());
        }
        FAILURE
    }
}

const NOT_OURS: &str = "the event is none of this plugin's";
