//! The plugin's builds for other platforms, run by Wine and qemu.
//!
//! `scripts/build-all` makes them and a host of each platform, `scripts/emulators` what runs them. Where they are missing
//! tests skip with a line that says so, save with `CLOUDTRAIL_PLATFORMS_REQUIRED` set, as `scripts/test --all` does.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{hosts::target, needs::needed};

/// A platform.
#[derive(Debug, Clone)]
pub struct Platform {
    kind: Kind,
    run: PathBuf,
    host: PathBuf,
    /// The plugin's build for it.
    pub plugin: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Windows,
    Arm64,
}

impl Platform {
    /// `windows-x86_64` or `linux-aarch64`; nothing where its build is missing and not required.
    pub fn find(name: &str) -> Option<Self> {
        let (kind, plugin, host) = match name {
            "windows-x86_64" => (Kind::Windows, "cloudtrail.dll", "host.exe"),
            "linux-aarch64" => (Kind::Arm64, "libcloudtrail.so", "host"),
            _ => panic!("no platform {name}"),
        };
        let find = |path: String, script| {
            let remedy = format!("run {script}");
            needed(
                &target().join(path),
                &remedy,
                "CLOUDTRAIL_PLATFORMS_REQUIRED",
            )
        };
        Some(Self {
            kind,
            plugin: find(format!("dist/{name}/{plugin}"), "scripts/build-all")?,
            host: find(format!("cross/hosts/{name}/{host}"), "scripts/build-all")?,
            run: find("emulators/run".into(), "scripts/emulators")?,
        })
    }

    /// The platform that `CLOUDTRAIL_PLATFORM` names, for captures of any test.
    pub fn of_environment() -> Option<Self> {
        let name = env::var("CLOUDTRAIL_PLATFORM").ok()?;
        Some(Self::find(&name).expect("CLOUDTRAIL_PLATFORM names a platform that is not built"))
    }

    /// Whether it is Windows.
    pub fn is_windows(&self) -> bool {
        self.kind == Kind::Windows
    }

    /// The path there of a file of this machine.
    pub fn path(&self, path: &Path) -> String {
        let path = path.to_str().expect("paths of tests are UTF-8");
        match self.kind {
            Kind::Windows => format!("Z:{}", path.replace('/', r"\")),
            Kind::Arm64 => path.to_owned(),
        }
    }

    /// Runs a request of [`host::capture`].
    pub fn command(&self, request: &Path) -> Command {
        let mut command = Command::new(&self.run);
        command.arg(match self.kind {
            Kind::Windows => "wine",
            Kind::Arm64 => "qemu-aarch64",
        });
        command.arg(&self.host).arg(self.path(request));
        command
    }
}
