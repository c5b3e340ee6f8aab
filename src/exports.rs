//! The C functions that hosts look up.
//!
//! All are falco_plugin's but for `plugin_init`: its logger is one for the whole library and writes to the object
//! that was initialised last, which Falco destroys after a check of its configuration, while another one runs. Ours
//! gives each object its own [`HostLog`].

use falco_plugin::internals::base::wrappers as sdk;
use falco_plugin::{extract_plugin, source_plugin, wrap_ffi};

use crate::CloudTrail;
use crate::host_log::HostLog;

source_plugin!(CloudTrail);
extract_plugin!(CloudTrail);

// SAFETY: all functions of the base API are exported below.
unsafe impl sdk::BasePluginExported for CloudTrail {}

wrap_ffi! {
    #[unsafe(no_mangle)]
    use falco_plugin::internals::base::wrappers: <CloudTrail>;

    unsafe fn plugin_get_version() -> *const std::ffi::c_char;
    unsafe fn plugin_get_name() -> *const std::ffi::c_char;
    unsafe fn plugin_get_description() -> *const std::ffi::c_char;
    unsafe fn plugin_get_contact() -> *const std::ffi::c_char;
    unsafe fn plugin_get_init_schema(schema_type: *mut u32) -> *const std::ffi::c_char;
    unsafe fn plugin_destroy(plugin: *mut falco_plugin::api::ss_plugin_t) -> ();
    unsafe fn plugin_get_last_error(plugin: *mut falco_plugin::api::ss_plugin_t) -> *const std::ffi::c_char;
    unsafe fn plugin_set_config(
        plugin: *mut falco_plugin::api::ss_plugin_t,
        config_input: *const falco_plugin::api::ss_plugin_set_config_input,
    ) -> falco_plugin::api::ss_plugin_rc;
    unsafe fn plugin_get_metrics(
        plugin: *mut falco_plugin::api::ss_plugin_t,
        num_metrics: *mut u32,
    ) -> *mut falco_plugin::api::ss_plugin_metric;
}

#[unsafe(no_mangle)]
extern "C-unwind" fn plugin_get_required_api_version() -> *const std::ffi::c_char {
    use falco_plugin::api::{PLUGIN_API_VERSION_MAJOR, PLUGIN_API_VERSION_MINOR};
    sdk::plugin_get_required_api_version::<
        { PLUGIN_API_VERSION_MAJOR as usize },
        { PLUGIN_API_VERSION_MINOR as usize },
        0,
    >()
}

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn plugin_init(
    args: *const falco_plugin::api::ss_plugin_init_input,
    rc: *mut i32,
) -> *mut falco_plugin::api::ss_plugin_t {
    // SAFETY: the host gives a valid pointer or null, which as_ref takes.
    let input = unsafe { args.as_ref() }.map(|input| {
        HostLog::announce(input);
        falco_plugin::api::ss_plugin_init_input {
            log_fn: None,
            ..*input
        }
    });
    let args = input.as_ref().map_or(args, |input| input as *const _);
    // SAFETY: `args` is null or lives to the end of this function, `rc` is the host's.
    unsafe { sdk::plugin_init::<CloudTrail>(args, rc) }
}
