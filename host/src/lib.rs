//! A host of the plugin: nothing but dlopen and the C API, called as sysdig and Falco call it.
//!
//! ```no_run
//! let library = host::Library::load()?;
//! let plugin = library.init("{}")?;
//! let events = plugin.events("/var/log/trail")?;
//! let fields = plugin.extract(&events[0], &["ct.name", "ec2.imageids[1]"])?;
//! # Ok::<(), anyhow::Error>(())
//! ```

#![deny(missing_docs)]

pub mod capture;
pub mod rules;

use std::{
    cell::Cell,
    collections::BTreeMap,
    env,
    ffi::{CStr, CString, c_char},
    mem,
    path::{Path, PathBuf},
    ptr, slice,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use falco_plugin_api as api;
use serde_json::Value;

/// How long a capture may take before a test gives up on it.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Bytes of an event before its payload: header, two lengths, plugin ID.
const EVENT_HEAD: usize = 26 + 2 * 4 + 4;
/// PPME_PLUGINEVENT_E, the type of every plugin's event.
const PLUGIN_EVENT: u16 = 322;

type GetStr = unsafe extern "C-unwind" fn() -> *const c_char;
type GetU32 = unsafe extern "C-unwind" fn() -> u32;
type GetSchema = unsafe extern "C-unwind" fn(*mut api::ss_plugin_schema_type) -> *const c_char;
type Init = unsafe extern "C-unwind" fn(
    *const api::ss_plugin_init_input,
    *mut api::ss_plugin_rc,
) -> *mut api::ss_plugin_t;
type Destroy = unsafe extern "C-unwind" fn(*mut api::ss_plugin_t);
type LastError = unsafe extern "C-unwind" fn(*mut api::ss_plugin_t) -> *const c_char;
type Open = unsafe extern "C-unwind" fn(
    *mut api::ss_plugin_t,
    *const c_char,
    *mut api::ss_plugin_rc,
) -> *mut api::ss_instance_t;
type Close = unsafe extern "C-unwind" fn(*mut api::ss_plugin_t, *mut api::ss_instance_t);
type NextBatch = unsafe extern "C-unwind" fn(
    *mut api::ss_plugin_t,
    *mut api::ss_instance_t,
    *mut u32,
    *mut *mut *mut api::ss_plugin_event,
) -> api::ss_plugin_rc;
type Progress = unsafe extern "C-unwind" fn(
    *mut api::ss_plugin_t,
    *mut api::ss_instance_t,
    *mut u32,
) -> *const c_char;
type ListOpenParams =
    unsafe extern "C-unwind" fn(*mut api::ss_plugin_t, *mut api::ss_plugin_rc) -> *const c_char;
type ToText = unsafe extern "C-unwind" fn(
    *mut api::ss_plugin_t,
    *const api::ss_plugin_event_input,
) -> *const c_char;
type Extract = unsafe extern "C-unwind" fn(
    *mut api::ss_plugin_t,
    *const api::ss_plugin_event_input,
    *const api::ss_plugin_field_extract_input,
) -> api::ss_plugin_rc;
type Parse = unsafe extern "C-unwind" fn(
    *mut api::ss_plugin_t,
    *const api::ss_plugin_event_input,
    *const api::ss_plugin_event_parse_input,
) -> api::ss_plugin_rc;
type Metrics =
    unsafe extern "C-unwind" fn(*mut api::ss_plugin_t, *mut u32) -> *mut api::ss_plugin_metric;

/// Where the plugin under test is: `CLOUDTRAIL_PLUGIN`, or what Cargo built beside this program.
pub fn plugin_path() -> Result<PathBuf> {
    if let Some(path) = env::var_os("CLOUDTRAIL_PLUGIN") {
        return Ok(path.into());
    }
    let name = format!(
        "{}cloudtrail{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    );
    let program = env::current_exe()?;
    // A test runs in target/PROFILE/deps, where the library it depends on is built; a program in
    // target/PROFILE, where Cargo puts a copy of the library.
    let folder = program.parent().context("this program has no folder")?;
    let newest = [folder.join(&name), folder.join("deps").join(&name)]
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max();
    let (_, path) = newest.with_context(|| format!("no {name} beside {}", program.display()))?;
    Ok(path)
}

/// The plugin's library, loaded.
#[derive(Clone)]
pub struct Library(Arc<Api>);

struct Api {
    library: libloading::Library,
    fields: Vec<FieldInfo>,
    event_source: CString,
    init: Init,
    destroy: Destroy,
    last_error: LastError,
    open: Open,
    close: Close,
    next_batch: NextBatch,
    extract: Extract,
    /// Where it has the parsing capability.
    parse: Option<Parse>,
}

/// A field as the plugin declares it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldInfo {
    /// `ct.name`
    pub name: String,
    /// `string` or `uint64`
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds any number of values.
    #[serde(default)]
    pub is_list: bool,
    /// The label in Stratoshark's tree.
    pub display: Option<String>,
    /// What it means.
    pub desc: String,
    /// The argument it takes.
    pub arg: Option<ArgInfo>,
    /// `hidden`, `info`, `conversation`
    #[serde(default)]
    pub properties: Vec<String>,
}

/// A field's argument.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArgInfo {
    /// Whether it may not be left out.
    pub is_required: bool,
    /// Whether it is a number.
    pub is_index: bool,
    /// Whether it is a text.
    pub is_key: bool,
}

impl Library {
    /// Loads the plugin under test.
    pub fn load() -> Result<Self> {
        Self::load_from(&plugin_path()?)
    }

    /// Loads any Falco plugin that is a source and extracts fields.
    pub fn load_from(path: &Path) -> Result<Self> {
        // SAFETY: loading runs the initialisers of a Rust library, which have no demands.
        let library = unsafe { libloading::Library::new(path) }
            .with_context(|| format!("loading {}", path.display()))?;
        // SAFETY: here and below, the types are those of the plugin API that the library states.
        let version = unsafe {
            text(symbol::<GetStr>(
                &library,
                "plugin_get_required_api_version",
            )?())
        };
        // What hosts accept: libs 0.23 offer 3.12.
        ensure!(
            matches!(numbers(&version)?, [3, minor, _] if minor <= 12),
            "hosts refuse a plugin of API version {version}"
        );
        // SAFETY: see above.
        let (fields, event_source) = unsafe {
            (
                text(symbol::<GetStr>(&library, "plugin_get_fields")?()),
                text(symbol::<GetStr>(&library, "plugin_get_event_source")?()),
            )
        };
        // SAFETY: see above.
        unsafe {
            Ok(Self(Arc::new(Api {
                fields: serde_json::from_str(&fields).context("plugin_get_fields")?,
                event_source: CString::new(event_source)?,
                init: symbol(&library, "plugin_init")?,
                destroy: symbol(&library, "plugin_destroy")?,
                last_error: symbol(&library, "plugin_get_last_error")?,
                open: symbol(&library, "plugin_open")?,
                close: symbol(&library, "plugin_close")?,
                next_batch: symbol(&library, "plugin_next_batch")?,
                extract: symbol(&library, "plugin_extract_fields")?,
                parse: symbol(&library, "plugin_parse_event").ok(),
                library,
            })))
        }
    }

    fn get(&self, name: &str) -> Result<String> {
        // SAFETY: all `plugin_get_*` that are asked for here have this type.
        Ok(unsafe { text(symbol::<GetStr>(&self.0.library, name)?()) })
    }

    /// `cloudtrail`
    pub fn name(&self) -> Result<String> {
        self.get("plugin_get_name")
    }

    /// The plugin's own version.
    pub fn version(&self) -> Result<String> {
        self.get("plugin_get_version")
    }

    /// The version of the plugin API it asks for.
    pub fn api_version(&self) -> Result<String> {
        self.get("plugin_get_required_api_version")
    }

    /// What the plugin says it is.
    pub fn description(&self) -> Result<String> {
        self.get("plugin_get_description")
    }

    /// Whom to ask.
    pub fn contact(&self) -> Result<String> {
        self.get("plugin_get_contact")
    }

    /// `aws_cloudtrail`
    pub fn event_source(&self) -> Result<String> {
        self.get("plugin_get_event_source")
    }

    /// The sources whose events it extracts fields from, a JSON array.
    pub fn extract_event_sources(&self) -> Result<String> {
        self.get("plugin_get_extract_event_sources")
    }

    /// The registered number of the plugin.
    pub fn id(&self) -> Result<u32> {
        // SAFETY: the type is that of the plugin API.
        Ok(unsafe { symbol::<GetU32>(&self.0.library, "plugin_get_id")?() })
    }

    /// The JSON schema of the configuration.
    pub fn schema(&self) -> Result<Value> {
        let mut kind = 0;
        // SAFETY: the type is that of the plugin API.
        let schema = unsafe {
            text(symbol::<GetSchema>(
                &self.0.library,
                "plugin_get_init_schema",
            )?(&mut kind))
        };
        ensure!(
            kind == api::ss_plugin_schema_type_SS_PLUGIN_SCHEMA_JSON,
            "schema type {kind}"
        );
        Ok(serde_json::from_str(&schema)?)
    }

    /// The fields, in the plugin's order.
    pub fn fields(&self) -> &[FieldInfo] {
        &self.0.fields
    }

    /// Names of all fields that may be asked for without an argument, as Stratoshark asks.
    pub fn field_names(&self) -> Vec<&str> {
        let fields = self.0.fields.iter();
        let free = fields.filter(|field| !field.arg.as_ref().is_some_and(|arg| arg.is_required));
        free.map(|field| field.name.as_str()).collect()
    }

    /// Makes a plugin object. The error is the plugin's text.
    pub fn init(&self, config: &str) -> Result<Plugin> {
        // Never freed: a plugin that logs to an object after its end does so in `late_logs`, and not
        // in memory of somebody else's.
        let owner: &'static Owner = Box::leak(Box::default());
        OWNERS.lock().unwrap().push(owner);
        let config = CString::new(config)?;
        let input = api::ss_plugin_init_input {
            config: config.as_ptr(),
            owner: ptr::from_ref(owner).cast_mut().cast(),
            get_owner_last_error: Some(owner_last_error),
            tables: ptr::null(),
            log_fn: Some(on_log),
        };
        let mut rc = api::ss_plugin_rc_SS_PLUGIN_FAILURE;
        // SAFETY: the input lives through the call, the owner as long as the plugin object.
        let state = unsafe { (self.0.init)(&input, &mut rc) };
        let plugin = Plugin {
            api: self.0.clone(),
            state,
            owner,
            is_read: Cell::new(false),
        };
        if rc == api::ss_plugin_rc_SS_PLUGIN_SUCCESS {
            ensure!(!state.is_null(), "plugin_init gave success and no object");
            return Ok(plugin);
        }
        ensure!(
            !state.is_null(),
            "plugin_init failed without an object to ask why"
        );
        Err(anyhow!(plugin.last_error()))
    }
}

/// What the plugin knows of us; where its log lines go.
#[derive(Default)]
struct Owner {
    logs: Mutex<Vec<LogLine>>,
    destroyed: AtomicBool,
}

/// For tools that look for memory that nobody knows of.
static OWNERS: Mutex<Vec<&Owner>> = Mutex::new(Vec::new());

static LATE: Mutex<Vec<LogLine>> = Mutex::new(Vec::new());

/// Lines that were logged to plugin objects that are no more, which a host may not survive.
pub fn late_logs() -> Vec<LogLine> {
    LATE.lock().unwrap().clone()
}

/// A line that the plugin logged.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LogLine {
    /// 1 fatal, 2 critical, 3 error, 4 warning, 5 notice, 6 info, 7 debug, 8 trace
    pub severity: u32,
    /// Its words.
    pub message: String,
}

unsafe extern "C-unwind" fn owner_last_error(_: *mut api::ss_plugin_owner_t) -> *const c_char {
    c"".as_ptr()
}

unsafe extern "C-unwind" fn on_log(
    owner: *mut api::ss_plugin_owner_t,
    _component: *const c_char,
    message: *const c_char,
    severity: api::ss_plugin_log_severity,
) {
    // SAFETY: `Library::init` set it; it outlives the plugin object.
    let owner = unsafe { &*owner.cast::<Owner>() };
    // SAFETY: the plugin hands over a C string.
    let message = unsafe { text(message) };
    owner
        .logs
        .lock()
        .unwrap()
        .push(LogLine { severity, message });
}

/// A plugin object, destroyed when dropped.
pub struct Plugin {
    api: Arc<Api>,
    state: *mut api::ss_plugin_t,
    owner: &'static Owner,
    /// Whether somebody looks at what was extracted last, so that nothing else may be.
    is_read: Cell<bool>,
}

// SAFETY: hosts create objects on one thread and use them on another, never on two at once, which
// `&mut` methods and the lack of `Sync` ensure.
unsafe impl Send for Plugin {}

impl Drop for Plugin {
    fn drop(&mut self) {
        if !self.state.is_null() {
            // SAFETY: instances borrow the plugin, so all are closed.
            unsafe { (self.api.destroy)(self.state) }
        }
        self.owner.destroyed.store(true, Ordering::SeqCst);
    }
}

impl Plugin {
    fn last_error(&self) -> String {
        // SAFETY: the object is alive, the text valid until the next call.
        unsafe { text((self.api.last_error)(self.state)) }
    }

    /// Opens a capture. The error is the plugin's text.
    pub fn open(&self, params: &str) -> Result<Instance<'_>> {
        let params = CString::new(params)?;
        let mut rc = api::ss_plugin_rc_SS_PLUGIN_FAILURE;
        // SAFETY: the object is alive, the text lives through the call.
        let state = unsafe { (self.api.open)(self.state, params.as_ptr(), &mut rc) };
        if rc != api::ss_plugin_rc_SS_PLUGIN_SUCCESS || state.is_null() {
            bail!(self.last_error());
        }
        Ok(Instance {
            plugin: self,
            state,
            events: 0,
        })
    }

    /// The plugin under test with this configuration, which has to be right.
    pub fn load(config: &str) -> Self {
        Library::load().unwrap().init(config).unwrap()
    }

    /// Opens a capture and reads it to its end.
    pub fn events(&self, params: &str) -> Result<Vec<Event>> {
        let all = self.open(params)?.read_all(LIMIT);
        match all.error {
            Some(error) => Err(anyhow!(error)),
            None => Ok(all.events),
        }
    }

    /// The lines logged so far, as one text.
    pub fn log(&self) -> String {
        let lines = self.logs().into_iter().map(|line| line.message);
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The lines logged so far.
    pub fn logs(&self) -> Vec<LogLine> {
        self.owner.logs.lock().unwrap().clone()
    }

    /// The lines logged since this was called last, for those who read for long.
    pub fn take_logs(&self) -> Vec<LogLine> {
        mem::take(&mut self.owner.logs.lock().unwrap())
    }

    /// What the plugin offers to open.
    pub fn list_open_params(&self) -> Result<Value> {
        let mut rc = api::ss_plugin_rc_SS_PLUGIN_FAILURE;
        // SAFETY: the type is that of the plugin API, the object is alive.
        let list = unsafe {
            let list = symbol::<ListOpenParams>(&self.api.library, "plugin_list_open_params")?;
            text(list(self.state, &mut rc))
        };
        ensure!(rc == api::ss_plugin_rc_SS_PLUGIN_SUCCESS, self.last_error());
        Ok(serde_json::from_str(&list)?)
    }

    /// The plugin's metrics by name.
    pub fn metrics(&self) -> Result<BTreeMap<String, u64>> {
        let mut number = 0;
        // SAFETY: the type is that of the plugin API, the object is alive, the array valid until
        // the next call.
        let metrics = unsafe {
            let metrics = symbol::<Metrics>(&self.api.library, "plugin_get_metrics")?;
            array(metrics(self.state, &mut number), number as usize)
        };
        let value = |metric: &api::ss_plugin_metric| {
            // SAFETY: the type says which value it is.
            unsafe {
                match metric.value_type {
                    api::ss_plugin_metric_value_type_SS_PLUGIN_METRIC_VALUE_TYPE_U32 => {
                        Ok(metric.value.u32_.into())
                    }
                    api::ss_plugin_metric_value_type_SS_PLUGIN_METRIC_VALUE_TYPE_U64 => {
                        Ok(metric.value.u64_)
                    }
                    other => bail!("metric of type {other}"),
                }
            }
        };
        // SAFETY: names are C strings.
        metrics
            .iter()
            .map(|metric| Ok((unsafe { text(metric.name) }, value(metric)?)))
            .collect()
    }

    /// The event as a string.
    pub fn event_to_string(&self, event: &Event) -> Result<String> {
        let input = event.input(&self.api);
        // SAFETY: the type is that of the plugin API, the object and event are alive.
        let string = unsafe {
            symbol::<ToText>(&self.api.library, "plugin_event_to_string")?(self.state, &input)
        };
        ensure!(!string.is_null(), self.last_error());
        // SAFETY: not null, valid until the next call.
        unsafe { exact_text(string) }
    }

    /// Extracts fields in one call, as Stratoshark does, with byte ranges.
    ///
    /// A field may have an argument, `ec2.imageids[1]`. The result has an entry for each field
    /// that has a value.
    pub fn extract(&self, event: &Event, fields: &[&str]) -> Result<Fields> {
        self.extract_with(event, fields, true)
    }

    /// Extracts fields one by one, as the filters of sysdig and Falco do.
    pub fn extract_each(&self, event: &Event, fields: &[&str]) -> Result<Fields> {
        let mut all = Fields::new();
        for field in fields {
            all.append(&mut self.extract_with(event, &[field], true)?);
        }
        Ok(all)
    }

    /// Extracts fields in one call and asks for byte ranges or not, as sysdig does not.
    pub fn extract_with(&self, event: &Event, fields: &[&str], ranges: bool) -> Result<Fields> {
        let asked = fields
            .iter()
            .map(|field| self.asked(field))
            .collect::<Result<Vec<_>>>()?;
        ensure!(!self.is_read.get(), "the last answer is still read");
        let mut slots: Vec<_> = asked.iter().map(Asked::slot).collect();
        let mut offsets = api::ss_plugin_extract_value_offsets {
            start: ptr::null_mut(),
            length: ptr::null_mut(),
        };
        // SAFETY: a vtable of optional functions, for which zero is None.
        let mut tables: api::ss_plugin_table_reader_vtable_ext = unsafe { mem::zeroed() };
        let input = api::ss_plugin_field_extract_input {
            owner: ptr::null_mut(),
            get_owner_last_error: Some(owner_last_error),
            num_fields: slots.len() as u32,
            fields: slots.as_mut_ptr(),
            // SAFETY: as above.
            table_reader: unsafe { mem::zeroed() },
            table_reader_ext: &mut tables,
            value_offsets: if ranges {
                &mut offsets
            } else {
                ptr::null_mut()
            },
        };
        let event = event.input(&self.api);
        // SAFETY: everything that is pointed to lives through the call.
        let rc = unsafe { (self.api.extract)(self.state, &event, &input) };
        ensure!(
            rc == api::ss_plugin_rc_SS_PLUGIN_SUCCESS,
            "extraction: {}",
            self.last_error()
        );
        // SAFETY: the plugin gives one offset per field, valid until the next call.
        let (starts, lengths) = unsafe {
            (
                array(offsets.start, slots.len()),
                array(offsets.length, slots.len()),
            )
        };
        let mut values = Fields::new();
        for (index, (field, slot)) in fields.iter().zip(&slots).enumerate() {
            // SAFETY: the plugin filled the slot as its types say.
            let Some(value) = unsafe { value(slot) }.with_context(|| field.to_string())? else {
                continue;
            };
            // The plugin's are those within the event; computed values have none.
            let range = starts.get(index).map(|start| match lengths[index] {
                0 => (*start, 0),
                length => (start.wrapping_sub(EVENT_HEAD as u32), length),
            });
            values.insert(field.to_string(), Extracted { value, range });
        }
        Ok(values)
    }

    /// Shows the plugin an event of which no field is asked, as hosts do where it has the parsing capability.
    pub fn parse(&self, event: &Event) -> Result<()> {
        let parse = self.api.parse.context("it parses no events")?;
        // SAFETY: vtables of optional functions, for which zero is None.
        let mut input: api::ss_plugin_event_parse_input = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let (mut reader, mut writer) = unsafe { (mem::zeroed(), mem::zeroed()) };
        input.get_owner_last_error = Some(owner_last_error);
        input.table_reader_ext = &mut reader;
        input.table_writer_ext = &mut writer;
        let event = event.input(&self.api);
        // SAFETY: everything that is pointed to lives through the call.
        let rc = unsafe { parse(self.state, &event, &input) };
        ensure!(
            rc == api::ss_plugin_rc_SS_PLUGIN_SUCCESS,
            "parsing: {}",
            self.last_error()
        );
        Ok(())
    }

    /// The fields, to be asked of many events by nothing but the plugin's own function.
    pub fn question(&self, fields: &[&str]) -> Result<Question<'_>> {
        let asked = fields
            .iter()
            .map(|field| self.asked(field))
            .collect::<Result<Vec<_>>>()?;
        Ok(Question {
            plugin: self,
            slots: asked.iter().map(Asked::slot).collect(),
            // SAFETY: a vtable of optional functions, for which zero is None.
            tables: unsafe { mem::zeroed() },
            _asked: asked,
        })
    }

    fn asked(&self, field: &str) -> Result<Asked> {
        let (name, arg) = match field.split_once('[') {
            Some((name, arg)) => (name, Some(arg.strip_suffix(']').context("no ]")?)),
            None => (field, None),
        };
        let position = self.api.fields.iter().position(|info| info.name == name);
        let position = position.with_context(|| format!("no field {name}"))?;
        Ok(Asked {
            id: position as u32,
            info: self.api.fields[position].clone(),
            name: CString::new(name)?,
            arg: arg.map(CString::new).transpose()?,
        })
    }
}

/// Fields that are asked of many events, without a copy of the values.
pub struct Question<'p> {
    plugin: &'p Plugin,
    slots: Vec<api::ss_plugin_extract_field>,
    tables: api::ss_plugin_table_reader_vtable_ext,
    /// The slots point to their names.
    _asked: Vec<Asked>,
}

impl Question<'_> {
    /// Asks for all fields in one call, as Stratoshark does.
    pub fn at_once(&mut self, event: &Event) -> Result<()> {
        self.call(event, 0, self.slots.len())
    }

    /// The same, and the values.
    pub fn ask(&mut self, event: &Event) -> Result<Answer<'_>> {
        self.at_once(event)?;
        self.plugin.is_read.set(true);
        Ok(Answer {
            plugin: self.plugin,
            slots: &self.slots,
        })
    }

    /// Asks for each field by a call of its own, as sysdig and Falco do.
    pub fn one_by_one(&mut self, event: &Event) -> Result<()> {
        (0..self.slots.len()).try_for_each(|at| self.call(event, at, 1))
    }

    fn call(&mut self, event: &Event, at: usize, count: usize) -> Result<()> {
        let input = api::ss_plugin_field_extract_input {
            owner: ptr::null_mut(),
            get_owner_last_error: Some(owner_last_error),
            num_fields: count as u32,
            fields: self.slots[at..at + count].as_mut_ptr(),
            // SAFETY: as in `question`.
            table_reader: unsafe { mem::zeroed() },
            table_reader_ext: &mut self.tables,
            value_offsets: ptr::null_mut(),
        };
        let plugin = self.plugin;
        ensure!(!plugin.is_read.get(), "the last answer is still read");
        let event = event.input(&plugin.api);
        // SAFETY: everything that is pointed to lives through the call.
        let rc = unsafe { (plugin.api.extract)(plugin.state, &event, &input) };
        ensure!(
            rc == api::ss_plugin_rc_SS_PLUGIN_SUCCESS,
            "extraction: {}",
            plugin.last_error()
        );
        Ok(())
    }
}

/// The values of an event, in the plugin's own memory. While it lives, no other event can be asked about.
pub struct Answer<'q> {
    plugin: &'q Plugin,
    slots: &'q [api::ss_plugin_extract_field],
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.plugin.is_read.set(false);
    }
}

impl Answer<'_> {
    /// The text of a field, by its place in the question; none where it has no value, and for numbers and lists.
    pub fn text(&self, at: usize) -> Option<&str> {
        let slot = self.slots.get(at)?;
        if slot.res_len != 1
            || slot.flist != 0
            || slot.ftype != api::ss_plugin_field_type_FTYPE_STRING
        {
            return None;
        }
        // SAFETY: the slot holds one C string, valid until the next extraction, which `is_read` rules out.
        unsafe {
            let text = *slot.res.str_;
            (!text.is_null())
                .then(|| CStr::from_ptr(text))?
                .to_str()
                .ok()
        }
    }
}

struct Asked {
    id: u32,
    info: FieldInfo,
    name: CString,
    arg: Option<CString>,
}

impl Asked {
    fn slot(&self) -> api::ss_plugin_extract_field {
        let arg = self.arg.as_ref();
        let is_index = self.info.arg.as_ref().is_some_and(|arg| arg.is_index);
        let index = arg
            .filter(|_| is_index)
            .and_then(|arg| arg.to_str().ok()?.parse().ok());
        api::ss_plugin_extract_field {
            // SAFETY: a union of pointers.
            res: unsafe { mem::zeroed() },
            res_len: 0,
            field_id: self.id,
            field: self.name.as_ptr(),
            arg_key: arg.map_or(ptr::null(), |arg| arg.as_ptr()),
            arg_index: index.unwrap_or(0),
            arg_present: arg.is_some().into(),
            ftype: match self.info.kind.as_str() {
                "uint64" => api::ss_plugin_field_type_FTYPE_UINT64,
                _ => api::ss_plugin_field_type_FTYPE_STRING,
            },
            flist: self.info.is_list.into(),
        }
    }
}

/// What was extracted, by the field as it was asked for. A field without a value is not there.
pub type Fields = BTreeMap<String, Extracted>;

/// A field's value.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Extracted {
    /// A string, a number, or an array of them for a list field.
    pub value: Value,
    /// Start and length within the payload, where ranges were asked for.
    pub range: Option<(u32, u32)>,
}

/// An open capture, closed when dropped.
pub struct Instance<'a> {
    plugin: &'a Plugin,
    state: *mut api::ss_instance_t,
    events: u64,
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        // SAFETY: both are alive; nothing is used after.
        unsafe { (self.plugin.api.close)(self.plugin.state, self.state) }
    }
}

/// What one call of `next_batch` gave.
#[derive(Debug)]
pub struct Batch {
    /// Events, with any status.
    pub events: Vec<Event>,
    /// What comes after them.
    pub status: Status,
}

/// How a call of `next_batch` ended.
#[derive(Debug, PartialEq)]
pub enum Status {
    /// There is more.
    More,
    /// Nothing right now.
    Timeout,
    /// The end.
    Eof,
    /// The plugin's error.
    Failed(String),
}

/// A capture read to its end.
#[derive(Debug)]
pub struct Everything {
    /// All events.
    pub events: Vec<Event>,
    /// What ended the capture early.
    pub error: Option<String>,
}

impl Instance<'_> {
    /// One call of `next_batch`, everything copied out.
    pub fn next_batch(&mut self) -> Batch {
        let api = &self.plugin.api;
        let (mut number, mut events) = (0, ptr::null_mut());
        // SAFETY: both objects are alive.
        let rc =
            unsafe { (api.next_batch)(self.plugin.state, self.state, &mut number, &mut events) };
        // SAFETY: the plugin gives `number` events, valid until the next call.
        let events: Vec<_> = unsafe { array(events, number as usize) }
            .iter()
            .map(|event| {
                self.events += 1;
                // SAFETY: see above.
                unsafe { Event::copy(*event, self.events) }
            })
            .collect();
        let status = match rc {
            // Hosts say so too, and stop.
            api::ss_plugin_rc_SS_PLUGIN_SUCCESS if events.is_empty() => {
                Status::Failed("unexpected 0 size event returned by plugin".into())
            }
            api::ss_plugin_rc_SS_PLUGIN_SUCCESS => Status::More,
            api::ss_plugin_rc_SS_PLUGIN_TIMEOUT => Status::Timeout,
            api::ss_plugin_rc_SS_PLUGIN_EOF => Status::Eof,
            api::ss_plugin_rc_SS_PLUGIN_FAILURE => Status::Failed(self.plugin.last_error()),
            other => Status::Failed(format!("next_batch gave {other}")),
        };
        Batch { events, status }
    }

    /// Reads until the end, an error, or the limit, which counts as an error.
    pub fn read_all(&mut self, limit: Duration) -> Everything {
        self.read_while(limit, |_| true)
    }

    /// Reads as [`Instance::read_all`] does, and stops early when told to.
    pub fn read_while(
        &mut self,
        limit: Duration,
        mut more: impl FnMut(&[Event]) -> bool,
    ) -> Everything {
        let start = Instant::now();
        let mut events = vec![];
        let error = loop {
            let batch = self.next_batch();
            events.extend(batch.events);
            match batch.status {
                Status::Eof => break None,
                Status::Failed(error) => break Some(error),
                Status::More | Status::Timeout if !more(&events) => break None,
                Status::More | Status::Timeout if start.elapsed() < limit => {}
                _ => {
                    break Some(format!(
                        "not at its end after {limit:?} and {} events",
                        events.len()
                    ));
                }
            }
        };
        Everything { events, error }
    }

    /// Progress in hundredths of a percent, and its text.
    pub fn progress(&self) -> Result<(u32, String)> {
        let mut percent = 0;
        // SAFETY: the type is that of the plugin API, both objects are alive.
        let words = unsafe {
            let progress = symbol::<Progress>(&self.plugin.api.library, "plugin_get_progress")?;
            text(progress(self.plugin.state, self.state, &mut percent))
        };
        Ok((percent, words))
    }
}

/// An event, copied out of the plugin.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// Its place in the capture, from 1, as hosts count.
    pub number: u64,
    /// Header and payload.
    raw: Vec<u8>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let payload = String::from_utf8_lossy(self.payload());
        write!(f, "#{} at {}: {payload}", self.number, self.ts())
    }
}

impl Event {
    /// An event that holds the payload, as a host reads it back from a capture file.
    pub fn new(number: u64, ts: u64, payload: &[u8]) -> Self {
        let mut event = Self {
            number,
            raw: Vec::new(),
        };
        event.fill(ts, payload);
        event
    }

    /// Puts another payload into the same buffer, at the same address where it fits.
    pub fn fill(&mut self, ts: u64, payload: &[u8]) {
        let raw = &mut self.raw;
        raw.clear();
        raw.extend(ts.to_ne_bytes());
        raw.extend(u64::MAX.to_ne_bytes());
        raw.extend(((EVENT_HEAD + payload.len()) as u32).to_ne_bytes());
        raw.extend(PLUGIN_EVENT.to_ne_bytes());
        raw.extend(2u32.to_ne_bytes());
        raw.extend(4u32.to_ne_bytes());
        raw.extend((payload.len() as u32).to_ne_bytes());
        raw.extend(2u32.to_ne_bytes());
        raw.extend(payload);
    }

    /// Copies what the plugin handed over.
    ///
    /// # Safety
    /// `event` is an event of the plugin.
    unsafe fn copy(event: *const api::ss_plugin_event, number: u64) -> Self {
        // SAFETY: the caller's promise; the header is packed.
        let header = unsafe { ptr::read_unaligned(event) };
        assert_eq!({ header.type_ }, PLUGIN_EVENT, "type of event {number}");
        // SAFETY: the header says how long the event is.
        let raw = unsafe { slice::from_raw_parts(event.cast::<u8>(), header.len as usize) };
        Self {
            number,
            raw: raw.to_vec(),
        }
    }

    fn input(&self, api: &Api) -> api::ss_plugin_event_input {
        api::ss_plugin_event_input {
            evt: self.raw.as_ptr().cast(),
            evtnum: self.number,
            evtsrc: api.event_source.as_ptr(),
        }
    }

    /// Nanoseconds since the epoch.
    pub fn ts(&self) -> u64 {
        u64::from_ne_bytes(self.raw[..8].try_into().unwrap())
    }

    /// The record's own bytes.
    pub fn payload(&self) -> &[u8] {
        &self.raw[EVENT_HEAD..]
    }

    /// The payload as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.payload()).expect("a payload that is not JSON")
    }

    /// The record's `eventID`, by which tests know it.
    pub fn id(&self) -> String {
        self.json()["eventID"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// The numbers of a version, `3.12.0`.
pub fn numbers(version: &str) -> Result<[u32; 3]> {
    let numbers: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.with_context(|| format!("{version:?} is not a version"))
}

/// The `eventID`s of events, in their order.
pub fn ids(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::id).collect()
}

/// What the slot of a field holds.
///
/// # Safety
/// The plugin has filled the slot.
unsafe fn value(slot: &api::ss_plugin_extract_field) -> Result<Option<Value>> {
    let length = slot.res_len as usize;
    // SAFETY: the caller's promise: `length` values of this type.
    let values: Vec<Value> = unsafe {
        match slot.ftype {
            api::ss_plugin_field_type_FTYPE_UINT64 => array(slot.res.u64_, length)
                .iter()
                .map(|number| (*number).into())
                .collect(),
            _ => array(slot.res.str_, length)
                .iter()
                .map(|string| Ok(exact_text(*string)?.into()))
                .collect::<Result<_>>()?,
        }
    };
    if slot.flist == 0 {
        ensure!(length < 2, "{length} values");
        return Ok(values.into_iter().next());
    }
    Ok((length > 0).then_some(Value::Array(values)))
}

/// A function of the library.
///
/// # Safety
/// `T` is its type.
unsafe fn symbol<T: Copy>(library: &libloading::Library, name: &str) -> Result<T> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<T>(name.as_bytes()) }
        .map(|symbol| *symbol)
        .with_context(|| name.to_owned())
}

/// # Safety
/// `start` is null or points to `length` values that live long enough.
unsafe fn array<'a, T>(start: *const T, length: usize) -> &'a [T] {
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start, length) }
}

/// # Safety
/// `string` is null or a C string.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(string) }
        .to_string_lossy()
        .into_owned()
}

/// Values and texts of events must be valid UTF-8.
///
/// # Safety
/// `string` is a C string.
unsafe fn exact_text(string: *const c_char) -> Result<String> {
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(string) }.to_str()?.to_owned())
}
