//! Lines for the host's log: Falco shows them, sysdig with `--log-level`, falcodump and Stratoshark never.

use std::ffi::CString;

use falco_plugin::api::{
    ss_plugin_init_input, ss_plugin_log_fn_t, ss_plugin_log_severity,
    ss_plugin_log_severity_SS_PLUGIN_LOG_SEV_INFO,
    ss_plugin_log_severity_SS_PLUGIN_LOG_SEV_WARNING, ss_plugin_owner_t,
};

use crate::process::one_line;

/// The log of one plugin object. Used from the host's own thread only, within its calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostLog {
    owner: *mut ss_plugin_owner_t,
    log: ss_plugin_log_fn_t,
}

impl Default for HostLog {
    /// One that drops its lines.
    fn default() -> Self {
        Self {
            owner: std::ptr::null_mut(),
            log: None,
        }
    }
}

impl HostLog {
    /// The log of the plugin object that a host makes.
    pub fn new(input: &ss_plugin_init_input) -> Self {
        Self {
            owner: input.owner,
            log: input.log_fn,
        }
    }

    pub fn info(&self, line: &str) {
        self.line(ss_plugin_log_severity_SS_PLUGIN_LOG_SEV_INFO, line);
    }

    pub fn warn(&self, line: &str) {
        self.line(ss_plugin_log_severity_SS_PLUGIN_LOG_SEV_WARNING, line);
    }

    fn line(&self, severity: ss_plugin_log_severity, line: &str) {
        let Some(log) = self.log else { return };
        // It has no NUL.
        let line = CString::new(one_line(line)).unwrap_or_default();
        // SAFETY: the function and the owner are those that the host gave to this plugin object, which is alive, since
        // we are in a call of it; the line is a C string.
        unsafe { log(self.owner, std::ptr::null(), line.as_ptr(), severity) }
    }
}
