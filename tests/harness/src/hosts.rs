//! The programs that people load the plugin into, as Debian ships them: sysdig, falcodump, strato.
//!
//! `scripts/hosts` puts them into target/hosts. Where they are missing tests skip with a line that says so, save with
//! `CLOUDTRAIL_HOSTS_REQUIRED` set, as `scripts/test` does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use crate::aws::{ACCESS_KEY, REGION, SECRET_KEY};
use crate::host::plugin_path;
use crate::needs::needed;

/// The folder that Cargo builds into.
pub fn target() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(target)
}

/// `path` of the target folder, which `script` puts there; nothing where it is missing and not required.
pub fn installed(path: &str, script: &str) -> Option<PathBuf> {
    needed(
        &target().join(path),
        &format!("run {script}"),
        "CLOUDTRAIL_HOSTS_REQUIRED",
    )
}

/// The plugin for the hosts: that under test, or the one for old distributions where `scripts/test --dist` has made it.
pub fn built() -> PathBuf {
    let released = env::var_os("CLOUDTRAIL_HOST_PLUGIN").map(PathBuf::from);
    released.unwrap_or_else(|| plugin_path().expect("a plugin"))
}

/// What is read before the scripts: root's are run, and are looked for where they are.
const LUA_FOR_ROOT: &str = r#"run_user_scripts_when_superuser = true
package.path = os.getenv("HOME") .. "/.local/lib/stratoshark/plugins/?.lua;" .. package.path
"#;

/// The hosts, with a folder of the test's own that is also the home of the user who has installed the plugin.
pub struct Hosts {
    run: PathBuf,
    /// The test's folder.
    pub folder: PathBuf,
    /// The plugin, where falcodump and strato look for it.
    pub plugin: PathBuf,
}

impl Hosts {
    /// Nothing where there are no hosts and none are required.
    pub fn new(test: &str) -> Option<Self> {
        let run = installed("hosts/run", "scripts/hosts")?;
        let folder = target().canonicalize().expect("hosts are in it");
        let folder = folder.join("tmp").join(format!("hosts-{test}"));
        _ = fs::remove_dir_all(&folder);
        let plugins = folder.join(".local/lib/stratoshark/plugins/falco");
        fs::create_dir_all(&plugins).unwrap();
        let plugin = plugins.join("libcloudtrail.so");
        #[cfg(unix)]
        std::os::unix::fs::symlink(built(), &plugin).unwrap();
        #[cfg(not(unix))]
        fs::copy(built(), &plugin).unwrap();
        Some(Self {
            run,
            folder,
            plugin,
        })
    }

    /// Let strato and Stratoshark run the Lua scripts of a user, as they do for all but root, whom `run` makes of everybody.
    pub fn run_lua_scripts(&self) {
        let folders = self.stdout(&["strato", "-G", "folders"]);
        let folder = folders
            .lines()
            .find_map(|line| line.strip_prefix("Global Lua Plugins:"))
            .expect("it has Lua");
        let root = self.run.with_file_name("root");
        let init = root.join(folder.trim().trim_start_matches('/'));
        let init = init.join("init.lua");
        if fs::read_to_string(&init).is_ok_and(|text| text == LUA_FOR_ROOT) {
            return;
        }
        // Another test may be reading it.
        let new = init.with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, LUA_FOR_ROOT).unwrap();
        fs::rename(new, init).unwrap();
    }

    /// A host to run, with nothing of the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_within(120, arguments)
    }

    /// The same, which is ended after so many seconds.
    pub fn command_within(&self, seconds: u32, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.run);
        command
            .args(["timeout", &seconds.to_string()])
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .env("TZ", "UTC")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs([
                ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
                ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
                ("AWS_REGION", REGION),
            ]);
        command
    }

    /// What a host gives back.
    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Its standard output, after success.
    pub fn stdout(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What sysdig prints of a capture, line by line.
    pub fn sysdig(&self, params: &str, config: &str, arguments: &[&str]) -> Vec<String> {
        let plugin = format!("{}:{config}", self.plugin.display());
        let input = format!("cloudtrail:{params}");
        let mut all = vec!["sysdig", "-H", &plugin, "-I", &input];
        all.extend(arguments);
        self.stdout(&all).lines().map(str::to_owned).collect()
    }

    /// What sysdig prints of a capture by an example for Falco, line by line, with this address of AWS and without following.
    pub fn sysdig_by_example(
        &self,
        example: &str,
        endpoint: &str,
        arguments: &[&str],
    ) -> Vec<String> {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-config/falco");
        let aws = format!(r#""aws":{{"endpoint":"{endpoint}"}}"#);
        let library = format!("path: {}", self.plugin.display());
        let yaml = fs::read_to_string(examples.join(example)).unwrap();
        let yaml = yaml
            .replace("path: libcloudtrail.so", &library)
            .replace(r#""s3Follow":true"#, &aws);
        assert!(yaml.contains(&library) && yaml.contains(&aws), "{yaml}");
        let file = self.folder.join("falco.yaml");
        fs::write(&file, yaml).unwrap();
        let file = file.display().to_string();
        let mut all = vec!["sysdig", "--plugin-config-file", &file];
        all.extend(arguments);
        self.stdout(&all).lines().map(str::to_owned).collect()
    }

    /// Run falcodump into a file of the test's folder.
    pub fn falcodump(&self, params: &str, file: &str, options: &[&str]) -> Output {
        let mut all = vec![
            "falcodump",
            "--capture",
            "--extcap-interface",
            "cloudtrail",
            "--fifo",
            file,
            "--plugin-source",
            params,
        ];
        // Debian's falcodump hands over no event of a plugin without it.
        all.extend(["--include-capture-processes", "true"]);
        all.extend(options);
        self.output(&all)
    }
}
