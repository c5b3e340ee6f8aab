//! The C functions that hosts look up.
//!
//! Those that are called for every event are ours, see [`super::object`]. The others are falco_plugin's, with its object
//! in place of ours, except `plugin_init`: falco_plugin has one logger for the whole library, which writes to the object
//! that was initialised last. Falco destroys that object after it has checked its configuration, while another one
//! runs. Our `plugin_init` gives each object its own [`HostLog`].
//!
//! No panic reaches the host. Our code turns its own panics into errors with their message, and each function here
//! catches all others.

use std::ffi::c_char;
use std::ptr;
use std::sync::Arc;

use falco_plugin::api::{
    PLUGIN_API_VERSION_MAJOR, PLUGIN_API_VERSION_MINOR, ss_instance_t, ss_plugin_event,
    ss_plugin_event_input, ss_plugin_event_parse_input, ss_plugin_field_extract_input,
    ss_plugin_init_input, ss_plugin_metric, ss_plugin_rc,
    ss_plugin_rc_SS_PLUGIN_FAILURE as FAILURE, ss_plugin_set_config_input, ss_plugin_t,
};
use falco_plugin::internals::{base::wrappers as base, source::wrappers as source};

use super::CloudTrail;
use super::announced::Announced;
use super::event::{EVENT_SOURCES, EVENT_TYPES};
use super::log::HostLog;
use super::object::Object;
use crate::fields;
use crate::process;

// SAFETY: here and below, all functions of the API are exported.
unsafe impl base::BasePluginExported for CloudTrail {}
// SAFETY: see above.
unsafe impl source::SourcePluginExported for CloudTrail {}

/// Exports functions. Each returns the value behind `else` if it panics.
macro_rules! export {
    ($(fn $name:ident($($arg:ident: $kind:ty),*) -> $ret:ty = $function:expr, else $otherwise:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C-unwind" fn $name($($arg: $kind),*) -> $ret {
                #[allow(unused_unsafe)]
                // SAFETY: the arguments are those that the host is to give.
                let call = || Ok(unsafe { $function($($arg),*) });
                process::guard(stringify!($name), call).unwrap_or_else(|error| {
                    process::say(&error.to_string());
                    $otherwise
                })
            }
        )*

        #[cfg(test)]
        const EXPORTED: &[&str] = &[$(stringify!($name)),*];
    };
}

export! {
    fn plugin_get_required_api_version() -> *const c_char
        = base::plugin_get_required_api_version::<{ PLUGIN_API_VERSION_MAJOR as usize }, { PLUGIN_API_VERSION_MINOR as usize }, 0>,
        else ptr::null();
    fn plugin_get_version() -> *const c_char = base::plugin_get_version::<CloudTrail>, else ptr::null();
    fn plugin_get_name() -> *const c_char = base::plugin_get_name::<CloudTrail>, else ptr::null();
    fn plugin_get_description() -> *const c_char = base::plugin_get_description::<CloudTrail>, else ptr::null();
    fn plugin_get_contact() -> *const c_char = base::plugin_get_contact::<CloudTrail>, else ptr::null();
    fn plugin_get_init_schema(kind: *mut u32) -> *const c_char
        = base::plugin_get_init_schema::<CloudTrail>, else ptr::null();
    fn plugin_init(input: *const ss_plugin_init_input, rc: *mut ss_plugin_rc) -> *mut ss_plugin_t
        = init, else { set(rc, FAILURE); ptr::null_mut() };
    fn plugin_destroy(plugin: *mut ss_plugin_t) -> () = destroy, else ();
    fn plugin_get_last_error(plugin: *mut ss_plugin_t) -> *const c_char
        = get_last_error, else c"internal error".as_ptr();
    fn plugin_set_config(plugin: *mut ss_plugin_t, input: *const ss_plugin_set_config_input) -> ss_plugin_rc
        = |plugin, input| base::plugin_set_config::<CloudTrail>(Object::sdk(plugin), input), else FAILURE;
    fn plugin_get_metrics(plugin: *mut ss_plugin_t, number: *mut u32) -> *mut ss_plugin_metric
        = |plugin, number| base::plugin_get_metrics::<CloudTrail>(Object::sdk(plugin), number), else { set(number, 0); ptr::null_mut() };

    fn plugin_get_id() -> u32 = source::plugin_get_id::<CloudTrail>, else 0;
    fn plugin_get_event_source() -> *const c_char
        = source::plugin_get_event_source::<CloudTrail>, else ptr::null();
    fn plugin_list_open_params(plugin: *mut ss_plugin_t, rc: *mut ss_plugin_rc) -> *const c_char
        = |plugin, rc| source::plugin_list_open_params::<CloudTrail>(Object::sdk(plugin), rc), else { set(rc, FAILURE); ptr::null() };
    fn plugin_open(plugin: *mut ss_plugin_t, params: *const c_char, rc: *mut ss_plugin_rc) -> *mut ss_instance_t
        = open, else { set(rc, FAILURE); ptr::null_mut() };
    fn plugin_close(plugin: *mut ss_plugin_t, instance: *mut ss_instance_t) -> ()
        = |plugin, instance| source::plugin_close::<CloudTrail>(Object::sdk(plugin), instance), else ();
    fn plugin_next_batch(
        plugin: *mut ss_plugin_t, instance: *mut ss_instance_t, number: *mut u32, events: *mut *mut *mut ss_plugin_event
    ) -> ss_plugin_rc = |plugin, instance, number, events| source::plugin_next_batch::<CloudTrail>(Object::sdk(plugin), instance, number, events), else FAILURE;
    fn plugin_get_progress(plugin: *mut ss_plugin_t, instance: *mut ss_instance_t, percent: *mut u32) -> *const c_char
        = |plugin, instance, percent| source::plugin_get_progress::<CloudTrail>(Object::sdk(plugin), instance, percent), else { set(percent, 0); ptr::null() };
    fn plugin_event_to_string(plugin: *mut ss_plugin_t, event: *const ss_plugin_event_input) -> *const c_char
        = |plugin, event| source::plugin_event_to_string::<CloudTrail>(Object::sdk(plugin), event), else ptr::null();

    fn plugin_get_extract_event_sources() -> *const c_char = event_sources, else ptr::null();
    fn plugin_get_extract_event_types(number: *mut u32, plugin: *mut ss_plugin_t) -> *mut u16
        = event_types, else { set(number, 0); ptr::null_mut() };
    fn plugin_get_fields() -> *const c_char = || fields::schema().as_ptr(), else ptr::null();

    fn plugin_get_parse_event_sources() -> *const c_char = event_sources, else ptr::null();
    fn plugin_get_parse_event_types(number: *mut u32, plugin: *mut ss_plugin_t) -> *mut u16
        = event_types, else { set(number, 0); ptr::null_mut() };
}

/// Has a guard within, and is called too often for another one.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn plugin_extract_fields(
    plugin: *mut ss_plugin_t,
    event: *const ss_plugin_event_input,
    input: *const ss_plugin_field_extract_input,
) -> ss_plugin_rc {
    // SAFETY: the pointers are null or those that the host is to give.
    let (Some(object), Some(event), Some(input)) =
        (unsafe { (Object::of(plugin), event.as_ref(), input.as_ref()) })
    else {
        return FAILURE;
    };
    // SAFETY: see above.
    unsafe { object.extract_fields(event, input) }
}

/// As the one above.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn plugin_parse_event(
    plugin: *mut ss_plugin_t,
    event: *const ss_plugin_event_input,
    _input: *const ss_plugin_event_parse_input,
) -> ss_plugin_rc {
    // SAFETY: the pointers are null or those that the host is to give.
    let (Some(object), Some(event)) = (unsafe { (Object::of(plugin), event.as_ref()) }) else {
        return FAILURE;
    };
    // SAFETY: see above.
    unsafe { object.parse_event(event) }
}

/// The event sources of which fields are extracted and events are parsed, as JSON.
fn event_sources() -> *const c_char {
    EVENT_SOURCES.as_ptr()
}

/// The types of these events.
fn event_types(number: *mut u32, _plugin: *mut ss_plugin_t) -> *mut u16 {
    set(number, EVENT_TYPES.len() as u32);
    // No host writes to them.
    EVENT_TYPES.as_ptr().cast_mut()
}

unsafe fn init(input: *const ss_plugin_init_input, rc: *mut ss_plugin_rc) -> *mut ss_plugin_t {
    process::quiet_panics();
    let (sessions, atlas) = (Arc::default(), Arc::default());
    // SAFETY: the host gives a valid pointer or null, which as_ref takes.
    let own = unsafe { input.as_ref() }.map(|input| {
        let announced = Announced {
            log: HostLog::new(input),
            sessions: Arc::clone(&sessions),
            atlas: Arc::clone(&atlas),
        };
        announced.announce();
        ss_plugin_init_input {
            log_fn: None,
            ..*input
        }
    });
    let input = own.as_ref().map_or(input, ptr::from_ref);
    // SAFETY: `input` is null or lives to the end of this function, `rc` is the host's.
    let sdk = unsafe { base::plugin_init::<CloudTrail>(input, rc) };
    Object::wrap(sdk, &sessions, &atlas)
}

unsafe fn destroy(plugin: *mut ss_plugin_t) {
    // SAFETY: the host gives up its object.
    if let Some(sdk) = unsafe { Object::unwrap(plugin) } {
        // SAFETY: nothing else holds falco_plugin's object.
        unsafe { base::plugin_destroy::<CloudTrail>(sdk) }
    }
}

unsafe fn get_last_error(plugin: *mut ss_plugin_t) -> *const c_char {
    // SAFETY: the host's object or null.
    let own = unsafe { Object::of(plugin) }.and_then(|object| object.error());
    // SAFETY: see above.
    own.unwrap_or_else(|| unsafe { base::plugin_get_last_error::<CloudTrail>(Object::sdk(plugin)) })
}

unsafe fn open(
    plugin: *mut ss_plugin_t,
    params: *const c_char,
    rc: *mut ss_plugin_rc,
) -> *mut ss_instance_t {
    // SAFETY: the arguments are those that the host is to give.
    let instance = unsafe { source::plugin_open::<CloudTrail>(Object::sdk(plugin), params, rc) };
    // SAFETY: see above.
    if let Some(object) = unsafe { Object::of(plugin) }.filter(|_| !instance.is_null()) {
        object.reset();
    }
    instance
}

fn set<T>(at: *mut T, value: T) {
    // SAFETY: the host gives a valid pointer or null, which as_mut takes.
    if let Some(at) = unsafe { at.as_mut() } {
        *at = value;
    }
}

/// A host into whose calls panics are injected, see [`process::poison`].
#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ffi::{CStr, CString};
    use std::path::Path;
    use std::{fs, mem};

    use falco_plugin::api::{
        ss_plugin_extract_field, ss_plugin_owner_t, ss_plugin_rc_SS_PLUGIN_SUCCESS as SUCCESS,
        ss_plugin_rc_SS_PLUGIN_TIMEOUT as TIMEOUT,
    };

    use super::*;
    use crate::process::poison;

    thread_local! {
        static LOG: RefCell<String> = const { RefCell::new(String::new()) };
    }

    unsafe extern "C-unwind" fn log(
        _: *mut ss_plugin_owner_t,
        _: *const c_char,
        line: *const c_char,
        _: u32,
    ) {
        LOG.with_borrow_mut(|log| log.push_str(&text(line)));
    }

    unsafe extern "C-unwind" fn no_error(_: *mut ss_plugin_owner_t) -> *const c_char {
        c"".as_ptr()
    }

    /// The plugin's C strings; none is null where this is used, but for the test's sake.
    fn text(text: *const c_char) -> String {
        assert!(!text.is_null());
        // SAFETY: a C string, valid until the next call.
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned()
    }

    /// A plugin object.
    struct Host(*mut ss_plugin_t);

    /// An open capture.
    #[derive(Clone, Copy)]
    struct Open(*mut ss_instance_t);

    // SAFETY, throughout: pointers are the plugin's own or point to what lives through the call.
    impl Host {
        fn init() -> (Self, ss_plugin_rc) {
            let input = ss_plugin_init_input {
                config: c"{}".as_ptr(),
                owner: ptr::null_mut(),
                get_owner_last_error: Some(no_error),
                tables: ptr::null(),
                log_fn: Some(log),
            };
            let mut rc = SUCCESS;
            let plugin = unsafe { plugin_init(&input, &mut rc) };
            (Self(plugin), rc)
        }

        fn sound() -> Self {
            let (host, rc) = Self::init();
            assert_eq!(rc, SUCCESS);
            host
        }

        fn error(&self) -> String {
            text(unsafe { plugin_get_last_error(self.0) })
        }

        fn open(&self, folder: &Path) -> Result<Open, ss_plugin_rc> {
            let params = CString::new(folder.to_str().unwrap()).unwrap();
            let mut rc = SUCCESS;
            let instance = unsafe { plugin_open(self.0, params.as_ptr(), &mut rc) };
            assert_eq!(instance.is_null(), rc != SUCCESS);
            if rc == SUCCESS {
                Ok(Open(instance))
            } else {
                Err(rc)
            }
        }

        fn close(&self, open: Open) {
            unsafe { plugin_close(self.0, open.0) };
        }

        /// The first event of the next batch.
        fn next(&self, open: Open) -> Result<*mut ss_plugin_event, ss_plugin_rc> {
            let (mut number, mut events) = (0, ptr::null_mut());
            let mut rc = TIMEOUT;
            while rc == TIMEOUT {
                rc = unsafe { plugin_next_batch(self.0, open.0, &mut number, &mut events) };
            }
            if rc == SUCCESS {
                Ok(unsafe { *events })
            } else {
                Err(rc)
            }
        }

        fn extract(&self, event: *mut ss_plugin_event) -> Result<String, ss_plugin_rc> {
            let event = event_input(event);
            let mut field: ss_plugin_extract_field = unsafe { mem::zeroed() };
            let mut tables = unsafe { mem::zeroed() };
            let input = ss_plugin_field_extract_input {
                owner: ptr::null_mut(),
                get_owner_last_error: Some(no_error),
                num_fields: 1,
                fields: &mut field,
                table_reader: unsafe { mem::zeroed() },
                table_reader_ext: &mut tables,
                value_offsets: ptr::null_mut(),
            };
            match unsafe { plugin_extract_fields(self.0, &event, &input) } {
                SUCCESS => Ok(text(unsafe { *field.res.str_ })),
                rc => Err(rc),
            }
        }

        fn describe(&self, event: *mut ss_plugin_event) -> *const c_char {
            unsafe { plugin_event_to_string(self.0, &event_input(event)) }
        }

        fn progress(&self, open: Open) -> (u32, *const c_char) {
            let mut percent = 7;
            let words = unsafe { plugin_get_progress(self.0, open.0, &mut percent) };
            (percent, words)
        }

        fn metrics(&self) -> u32 {
            let mut number = 7;
            unsafe { plugin_get_metrics(self.0, &mut number) };
            number
        }

        fn destroy(self) {
            unsafe { plugin_destroy(self.0) };
        }
    }

    fn event_input(event: *mut ss_plugin_event) -> ss_plugin_event_input {
        ss_plugin_event_input {
            evt: event,
            evtnum: 1,
            evtsrc: c"aws_cloudtrail".as_ptr(),
        }
    }

    fn trail() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let record = r#"{"eventID":"one","eventName":"Decrypt"}"#;
        let file = format!("{{\"Records\":[{record}]}}");
        fs::write(folder.path().join("log.json"), file).unwrap();
        folder
    }

    /// It does all that it did before.
    fn works(host: &Host, folder: &Path) {
        let open = host.open(folder).unwrap();
        let event = host.next(open).unwrap();
        assert_eq!(host.extract(event), Ok("one".to_owned()));
        assert!(text(host.describe(event)).contains("Decrypt"));
        assert!(!text(host.progress(open).1).is_empty());
        assert!(host.metrics() > 0);
        host.close(open);
    }

    #[test]
    fn a_panic_in_any_call_is_an_error_with_its_message() {
        let folder = trail();
        let folder = folder.path();
        let message = |doing: &str| format!("internal error while {doing}: poison");
        for doing in ["reading the configuration", "starting"] {
            poison(doing);
            let (host, rc) = Host::init();
            assert_eq!((rc, host.error()), (FAILURE, message(doing)));
            host.destroy();
        }
        let host = Host::sound();
        poison("opening");
        assert_eq!(host.open(folder).err(), Some(FAILURE));
        assert_eq!(host.error(), message("opening"));

        let open = host.open(folder).unwrap();
        poison("handing over events");
        assert_eq!(host.next(open), Err(FAILURE));
        assert_eq!(host.error(), message("handing over events"));
        // The host may go on.
        let event = host.next(open).unwrap();

        poison("extracting fields");
        assert_eq!(host.extract(event), Err(FAILURE));
        assert_eq!(host.error(), message("extracting fields"));
        poison("describing an event");
        assert_eq!(text(host.describe(event)), message("describing an event"));
        poison("telling the progress");
        assert_eq!(text(host.progress(open).1), message("telling the progress"));
        // These have no way to fail.
        for (doing, call) in [
            ("counting", &(|| _ = host.metrics()) as &dyn Fn()),
            ("closing", &|| host.close(open)),
        ] {
            poison(doing);
            LOG.take();
            call();
            assert_eq!(LOG.take(), message(doing));
        }
        works(&host, folder);
        host.destroy();
    }

    #[test]
    fn an_event_that_is_none_of_ours_is_an_error() {
        let folder = trail();
        let host = Host::sound();
        let open = host.open(folder.path()).unwrap();
        let event = host.next(open).unwrap();
        assert_eq!(host.extract(event), Ok("one".to_owned()));
        assert_eq!(host.error(), "");
        let change = |change: &dyn Fn(&mut ss_plugin_event)| {
            // SAFETY: the header of the plugin's own event.
            let header = unsafe { &mut *event };
            let before = *header;
            change(header);
            let found = host.extract(event);
            *header = before;
            found
        };
        assert_eq!(host.extract(ptr::null_mut()), Err(FAILURE));
        assert_eq!(host.error(), "the event is none of this plugin's");
        let changes: [&dyn Fn(&mut ss_plugin_event); 3] = [
            &|header| header.type_ = 1,
            // Shorter than a header, and than its parameters say.
            &|header| header.len = 3,
            &|header| header.len -= 1,
        ];
        for of in changes {
            assert_eq!(change(of), Err(FAILURE));
        }
        // The error is that of the last call.
        assert!(host.metrics() > 0);
        assert_eq!(host.error(), "");
        assert_eq!(host.extract(event), Ok("one".to_owned()));
        host.close(open);
        host.destroy();
    }

    /// As if falco_plugin itself had panicked.
    #[test]
    fn a_panic_around_our_code_ends_no_host() {
        let folder = trail();
        let folder = folder.path();
        let host = Host::sound();
        let open = host.open(folder).unwrap();
        let event = host.next(open).unwrap();
        let mut number = 7;
        for function in EXPORTED {
            // It takes the object with it, which is tried last.
            if *function != "plugin_destroy" {
                poison(function);
            }
            let null = match *function {
                "plugin_init" => {
                    let (host, rc) = Host::init();
                    assert_eq!(rc, FAILURE);
                    host.0.is_null()
                }
                "plugin_open" => host.open(folder).err() == Some(FAILURE),
                "plugin_next_batch" => host.next(open) == Err(FAILURE),
                "plugin_set_config" => {
                    (unsafe { plugin_set_config(host.0, ptr::null()) }) == FAILURE
                }
                "plugin_get_last_error" => host.error() == "internal error",
                "plugin_get_id" => (unsafe { plugin_get_id() }) == 0,
                "plugin_event_to_string" => host.describe(event).is_null(),
                "plugin_get_progress" => {
                    let (percent, words) = host.progress(open);
                    percent == 0 && words.is_null()
                }
                "plugin_get_metrics" => host.metrics() == 0,
                "plugin_list_open_params" => {
                    let mut rc = SUCCESS;
                    let list = unsafe { plugin_list_open_params(host.0, &mut rc) };
                    rc == FAILURE && list.is_null()
                }
                "plugin_get_init_schema" => {
                    (unsafe { plugin_get_init_schema(&mut number) }).is_null()
                }
                "plugin_get_extract_event_types" => {
                    (unsafe { plugin_get_extract_event_types(&mut number, host.0) }).is_null()
                        && number == 0
                }
                "plugin_close" => {
                    let other = host.open(folder).unwrap();
                    host.close(other);
                    true
                }
                "plugin_destroy" => true,
                "plugin_get_required_api_version" => {
                    (unsafe { plugin_get_required_api_version() }).is_null()
                }
                "plugin_get_version" => (unsafe { plugin_get_version() }).is_null(),
                "plugin_get_name" => (unsafe { plugin_get_name() }).is_null(),
                "plugin_get_description" => (unsafe { plugin_get_description() }).is_null(),
                "plugin_get_contact" => (unsafe { plugin_get_contact() }).is_null(),
                "plugin_get_event_source" => (unsafe { plugin_get_event_source() }).is_null(),
                "plugin_get_extract_event_sources" => {
                    (unsafe { plugin_get_extract_event_sources() }).is_null()
                }
                "plugin_get_fields" => (unsafe { plugin_get_fields() }).is_null(),
                "plugin_get_parse_event_sources" => {
                    (unsafe { plugin_get_parse_event_sources() }).is_null()
                }
                "plugin_get_parse_event_types" => {
                    (unsafe { plugin_get_parse_event_types(&mut number, host.0) }).is_null()
                        && number == 0
                }
                other => panic!("{other} is not tested"),
            };
            assert!(null, "{function}");
        }
        host.close(open);
        works(&host, folder);
        poison("plugin_destroy");
        host.destroy();
    }
}
