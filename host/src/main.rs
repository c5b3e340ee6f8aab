//! A capture in a process of its own, on any platform: `host REQUEST`, see [`host::capture`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(request) = std::env::args_os().nth(1) else {
        eprintln!("usage: host REQUEST");
        return ExitCode::FAILURE;
    };
    match host::capture::run(request.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host: {error:#}");
            ExitCode::FAILURE
        }
    }
}
