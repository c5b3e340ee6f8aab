//! Shows what the plugin gives for open params, without a host; and serves a folder as S3.

use std::{env, io::Write, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use harness::{
    aws::{ACCESS_KEY, Aws, REGION, SECRET_KEY},
    host::{Event, Library, Plugin, Status},
};
use serde_json::{Map, Value, json, value::RawValue};

const USAGE: &str = "\
usage: harness [--plugin FILE] [--fields a,b[0],…|all] [--text] [--logs] OPEN_PARAMS [CONFIG]
       prints the events of OPEN_PARAMS, a line of JSON each
       harness [--plugin FILE] --schema | --list-fields
       harness --serve FOLDER [--port PORT]
       serves each folder in FOLDER as an S3 bucket until its standard input ends";

#[derive(Default)]
struct Options {
    plugin: Option<String>,
    fields: Option<String>,
    text: bool,
    logs: bool,
    schema: bool,
    list_fields: bool,
    serve: Option<String>,
    port: u16,
    rest: Vec<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut options = Options::default();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().context(USAGE);
        match arg.as_str() {
            "--plugin" => options.plugin = Some(value()?),
            "--fields" => options.fields = Some(value()?),
            "--text" => options.text = true,
            "--logs" => options.logs = true,
            "--schema" => options.schema = true,
            "--list-fields" => options.list_fields = true,
            "--serve" => options.serve = Some(value()?),
            "--port" => options.port = value()?.parse()?,
            _ if arg.starts_with("--") => bail!(USAGE),
            _ => options.rest.push(arg),
        }
    }
    if let Some(folder) = &options.serve {
        return serve(Path::new(folder), options.port);
    }
    let library = match &options.plugin {
        Some(path) => Library::load_from(Path::new(path))?,
        None => Library::load()?,
    };
    if options.schema {
        return print(&serde_json::to_string_pretty(&library.schema()?)?);
    }
    if options.list_fields {
        return library.fields().iter().try_for_each(|field| {
            print(&format!(
                "{:32} {:8} {}",
                field.name, field.kind, field.desc
            ))
        });
    }
    let (params, config) = match &options.rest[..] {
        [params] => (params, ""),
        [params, config] => (params, config.as_str()),
        _ => bail!(USAGE),
    };
    let plugin = library.init(config)?;
    let result = capture(&library, &plugin, params, &options);
    if options.logs {
        for line in plugin.logs() {
            eprintln!("log {}: {}", line.severity, line.message);
        }
    }
    result
}

/// Prints a line; whoever reads may go away.
fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}

fn capture(library: &Library, plugin: &Plugin, params: &str, options: &Options) -> Result<()> {
    let fields: Vec<&str> = match options.fields.as_deref() {
        None => vec![],
        Some("all") => library.field_names(),
        Some(fields) => fields.split(',').collect(),
    };
    let mut instance = plugin.open(params)?;
    loop {
        let batch = instance.next_batch();
        for event in &batch.events {
            show(plugin, event, &fields, options)?;
        }
        match batch.status {
            Status::Eof => return Ok(()),
            Status::Failed(error) => bail!(error),
            Status::More | Status::Timeout => {}
        }
    }
}

fn show(plugin: &Plugin, event: &Event, fields: &[&str], options: &Options) -> Result<()> {
    if options.text {
        return print(&plugin.event_to_string(event)?);
    }
    let time = jiff::Timestamp::from_nanosecond(event.ts().into())?.to_string();
    let line = if options.fields.is_none() {
        let record = RawValue::from_string(String::from_utf8_lossy(event.payload()).into_owned())?;
        serde_json::to_string(&(event.number, time, record))?
    } else {
        let values = plugin.extract(event, fields)?.into_iter();
        let values: Map<String, Value> = values.map(|(name, field)| (name, field.value)).collect();
        json!([event.number, time, values]).to_string()
    };
    print(&line)
}

fn serve(folder: &Path, port: u16) -> Result<()> {
    let aws = Aws::serve(folder, [port, 0]);
    let line = json!({
        "endpoint": aws.endpoint(),
        "region": REGION,
        "accessKeyId": ACCESS_KEY,
        "secretAccessKey": SECRET_KEY,
        "secureEndpoint": aws.secure_endpoint(),
        "caBundle": aws.ca_file(),
    });
    print(&line.to_string())?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
