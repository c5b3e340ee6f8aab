//! `scripts/release`: the packages that others install, taken apart as falcoctl and tar do, and installed as people do.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, io, iter};

use harness::capture::Capture;
use harness::host::{Library, plugin_path};
use harness::hosts::{Hosts, built, installed};
use harness::platform::Platform;
use harness::{sample, trail};
use serde_json::{Value, json};
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn run(program: impl AsRef<Path>, arguments: &[&Path]) -> String {
    let output = output(program.as_ref(), arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn output(program: &Path, arguments: &[&Path]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

/// The content of each file of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap();
            let name = name.to_str().unwrap().to_owned();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn sha256(file: &Path) -> String {
    let line = run("sha256sum", &[file]);
    line.split_whitespace().next().unwrap().to_owned()
}

/// An OCI layout, read as registries and their clients do.
struct Layout {
    folder: PathBuf,
    seen: BTreeSet<String>,
}

impl Layout {
    fn open(folder: PathBuf) -> Self {
        let layout: Value =
            serde_json::from_slice(&fs::read(folder.join("oci-layout")).unwrap()).unwrap();
        assert_eq!(layout, json!({"imageLayoutVersion": "1.0.0"}));
        Self {
            folder,
            seen: BTreeSet::new(),
        }
    }

    /// The file that a descriptor names, which it must describe.
    fn blob(&mut self, descriptor: &Value, media_type: &str) -> PathBuf {
        assert_eq!(descriptor["mediaType"], media_type, "{descriptor}");
        let digest = descriptor["digest"].as_str().unwrap();
        let digest = digest.strip_prefix("sha256:").unwrap().to_owned();
        let path = self.folder.join("blobs/sha256").join(&digest);
        assert_eq!(descriptor["size"], fs::metadata(&path).unwrap().len());
        assert_eq!(sha256(&path), digest);
        self.seen.insert(digest);
        path
    }

    fn json(&mut self, descriptor: &Value, media_type: &str) -> Value {
        serde_json::from_slice(&fs::read(self.blob(descriptor, media_type)).unwrap()).unwrap()
    }

    /// What the version's tag stands for.
    fn tagged(&self) -> Value {
        let index: Value =
            serde_json::from_slice(&fs::read(self.folder.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["schemaVersion"], 2);
        assert_eq!(index["mediaType"], INDEX);
        let [tagged] = index["manifests"].as_array().unwrap().as_slice() else {
            panic!("{index}");
        };
        let tag = &tagged["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(tag, VERSION);
        tagged.clone()
    }

    /// The configuration of an artifact of falcoctl; its layer is the tarball of its name in `packages`.
    fn artifact(&mut self, descriptor: &Value, kind: &str, packages: &Path, name: &str) -> Value {
        let manifest = self.json(descriptor, MANIFEST);
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["mediaType"], MANIFEST);
        let [layer] = manifest["layers"].as_array().unwrap().as_slice() else {
            panic!("{manifest}");
        };
        let media_type = format!("application/vnd.cncf.falco.{kind}.layer.v1+tar.gz");
        let tarball = self.blob(layer, &media_type);
        assert_eq!(layer["annotations"]["org.opencontainers.image.title"], name);
        assert_eq!(
            fs::read(tarball).unwrap(),
            fs::read(packages.join(name)).unwrap()
        );
        let media_type = format!("application/vnd.cncf.falco.{kind}.config.v1+json");
        self.json(&manifest["config"], &media_type)
    }

    /// Every blob was of use.
    fn close(self) {
        let blobs = fs::read_dir(self.folder.join("blobs/sha256")).unwrap();
        let blobs: BTreeSet<String> = blobs
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(blobs, self.seen);
    }
}

#[test]
fn packages_are_what_registries_expect() {
    if installed("tools/bin/cargo-cyclonedx", "scripts/sbom").is_none() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let at = |path: &str| folder.path().join(path);
    let script = root("scripts/release");

    // Libraries of three platforms; what the others hold is no matter here.
    let native = at("libraries").join(format!("linux-{ARCH}/libcloudtrail.so"));
    let other = if ARCH == "x86_64" {
        "aarch64"
    } else {
        "x86_64"
    };
    for library in [
        &native,
        &at(&format!("libraries/linux-{other}/libcloudtrail.so")),
    ] {
        fs::create_dir_all(library.parent().unwrap()).unwrap();
        fs::copy(plugin_path().unwrap(), library).unwrap();
    }
    fs::create_dir_all(at("libraries/windows-x86_64")).unwrap();
    fs::write(at("libraries/windows-x86_64/cloudtrail.dll"), b"MZ").unwrap();
    // The tests' own is not fit for others, nor is what exports more than the plugin API.
    let refused = |libraries: &str| {
        let output = output(&script, &[&at(libraries), &at("refused")]);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused("libraries");
    assert!(said.contains("libcloudtrail.so is not stripped"), "{said}");
    let foreign = at("foreign").join(format!("linux-{ARCH}/libcloudtrail.so"));
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().find(|line| line.ends_with("/libc.so.6"));
    let libc = libc.unwrap().split_whitespace().last().unwrap();
    fs::copy(libc, &foreign).unwrap();
    run("strip", &[&foreign]);
    let said = refused("foreign");
    assert!(
        said.contains("exports more than the plugin API: "),
        "{said}"
    );

    for arch in [ARCH, other] {
        let library = at(&format!("libraries/linux-{arch}/libcloudtrail.so"));
        run("strip", &[&library]);
    }

    run(&script, &[&at("libraries"), &at("packages")]);
    run(&script, &[&at("libraries"), &at("again")]);
    let packages = files(&at("packages"));
    let again = files(&at("again"));
    assert!(packages.keys().eq(again.keys()));
    for (name, content) in &packages {
        assert!(again[name] == *content, "{name} differs from run to run");
    }

    // The tarballs, with the names of Falco's registry.
    let plugins = [
        ("linux-x86_64", "libcloudtrail.so", "linux", "amd64"),
        ("linux-aarch64", "libcloudtrail.so", "linux", "arm64"),
        ("windows-x86_64", "cloudtrail.dll", "windows", "amd64"),
    ];
    let tarballs = plugins
        .iter()
        .map(|(platform, ..)| format!("cloudtrail-{VERSION}-{platform}.tar.gz"));
    let rules = format!("cloudtrail-rules-{VERSION}.tar.gz");
    // And those that are installed by hand.
    let by_hand = plugins.iter().map(|(platform, _, os, _)| {
        let kind = if *os == "windows" { "zip" } else { "tar.gz" };
        format!("stratoshark-cloudtrail-{VERSION}-{platform}.{kind}")
    });
    let by_hand: Vec<String> = by_hand.collect();
    let expected: BTreeSet<String> = tarballs
        .chain(iter::once(rules.clone()))
        .chain(by_hand.iter().cloned())
        .collect();
    let found: BTreeSet<String> = packages
        .keys()
        .filter(|name| name.ends_with(".tar.gz") || name.ends_with(".zip"))
        .cloned()
        .collect();
    assert_eq!(found, expected);
    for ((platform, library, ..), package) in plugins.iter().zip(&by_hand) {
        let home = TempDir::new().unwrap();
        let folder = unpack(&at("packages").join(package), home.path());
        let content = files(&folder);
        let packed = fs::read(at("libraries").join(platform).join(library)).unwrap();
        assert!(content[*library] == packed, "{platform}");
        let licences = String::from_utf8_lossy(&content["LICENSES.txt"]);
        for words in [
            "\nring 0.",
            "\ntokio 1.",
            "Copyright 2016 Eric Biggers",
            "ISC",
        ] {
            assert!(licences.contains(words), "{platform}: {words}");
        }
        assert!(!licences.contains("harness ") && !licences.contains(env!("CARGO_MANIFEST_DIR")));
        let readme = String::from_utf8_lossy(&content["README.txt"]);
        for name in content.keys() {
            let name = name.split('/').next().unwrap();
            if name == "README.txt" {
                continue;
            }
            assert!(readme.contains(name), "{platform}: {name}");
        }
    }
    for (platform, library, ..) in plugins {
        let content = unpacked(&at(&format!(
            "packages/cloudtrail-{VERSION}-{platform}.tar.gz"
        )));
        assert!(content.keys().eq(["LICENSE", "README.md", library].iter()));
        let packed = fs::read(at("libraries").join(platform).join(library)).unwrap();
        assert!(content[library] == packed, "{platform}");
    }
    let content = unpacked(&at("packages").join(&rules));
    assert!(content.keys().eq(["cloudtrail_rules.yaml"].iter()));

    // What was packed is the plugin, still, and falcoctl is told what it needs of Falco.
    let library = Library::load_from(&native).unwrap();
    assert_eq!(library.version().unwrap(), VERSION);
    let mut layout = Layout::open(at("packages/oci/plugin"));
    let index = layout.json(&layout.tagged(), INDEX);
    assert_eq!(index["schemaVersion"], 2);
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), plugins.len());
    for (platform, _, os, arch) in plugins {
        let on_it = json!({"os": os, "architecture": arch});
        let manifest = manifests
            .iter()
            .find(|manifest| manifest["platform"] == on_it)
            .unwrap();
        let tarball = format!("cloudtrail-{VERSION}-{platform}.tar.gz");
        let config = layout.artifact(manifest, "plugin", &at("packages"), &tarball);
        let needs = library.api_version().unwrap();
        let expected = json!({"name": "cloudtrail", "version": VERSION,
            "requirements": [{"name": "plugin_api_version", "version": needs}]});
        assert_eq!(config, expected);
    }
    layout.close();

    let mut layout = Layout::open(at("packages/oci/ruleset"));
    let config = layout.artifact(&layout.tagged(), "rulesfile", &at("packages"), &rules);
    let text = fs::read_to_string(root("plugin-config/falco/cloudtrail_rules.yaml")).unwrap();
    let engine = config["requirements"][0]["version"].as_str().unwrap();
    assert!(text.contains(&format!("\n- required_engine_version: {engine}\n")));
    let expected = json!({"name": "cloudtrail-rules", "version": VERSION,
        "requirements": [{"name": "engine_version_semver", "version": engine}]});
    assert_eq!(config, expected);
    layout.close();

    // The SBOM knows what is linked in, and only that.
    for (platform, ..) in plugins {
        let name = format!("cloudtrail-{VERSION}-{platform}.cdx.json");
        let sbom: Value = serde_json::from_slice(&packages[&name]).unwrap();
        assert_eq!(sbom["bomFormat"], "CycloneDX");
        assert_eq!(sbom["metadata"]["component"]["name"], "cloudtrail");
        let components = sbom["components"].as_array().unwrap();
        let of = |name: &str| {
            components
                .iter()
                .find(|component| component["name"] == name)
        };
        let tokio = of("tokio").unwrap();
        let version = tokio["version"].as_str().unwrap();
        assert_eq!(tokio["purl"], format!("pkg:cargo/tokio@{version}"));
        assert_eq!(tokio["hashes"][0]["alg"], "SHA-256");
        assert!(tokio["licenses"][0]["expression"].is_string(), "{tokio}");
        let dependencies = sbom["dependencies"].as_array().unwrap();
        assert!(dependencies.len() > 200, "{}", dependencies.len());
        assert!(of("tempfile").is_none() && of("harness").is_none());
        assert_eq!(of("nix").is_some(), platform.starts_with("linux"), "{name}");
        let text = String::from_utf8_lossy(&packages[&name]);
        let here = env!("CARGO_MANIFEST_DIR");
        assert!(!text.contains(here), "{name} names a path of this machine");
    }

    // The sums are those of all else.
    let sums = String::from_utf8(packages["SHA256SUMS"].clone()).unwrap();
    let summed: BTreeSet<&str> = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    let all = packages.keys().map(String::as_str);
    assert!(
        summed
            .iter()
            .copied()
            .eq(all.filter(|name| *name != "SHA256SUMS"))
    );
    let check = Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(at("packages"))
        .status();
    assert!(check.unwrap().success());
}

/// What a tarball holds: files at its top, which everybody may read, nobody's in particular.
fn unpacked(tarball: &Path) -> BTreeMap<String, Vec<u8>> {
    let listing = run(
        "tar",
        &[Path::new("--numeric-owner"), Path::new("-tvzf"), tarball],
    );
    for line in listing.lines() {
        assert!(line.starts_with("-rw-r--r-- 0/0 "), "{line}");
        assert!(
            !line.contains('/') || line.matches('/').count() == 1,
            "{line}"
        );
    }
    let folder = TempDir::new().unwrap();
    run(
        "tar",
        &[Path::new("-xzf"), tarball, Path::new("-C"), folder.path()],
    );
    files(folder.path())
}

/// Unpacks a package that is installed by hand; its one folder.
fn unpack(package: &Path, home: &Path) -> PathBuf {
    if package.extension().is_some_and(|kind| kind == "zip") {
        let mut archive = zip::ZipArchive::new(fs::File::open(package).unwrap()).unwrap();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let path = home.join(file.enclosed_name().unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            io::copy(&mut file, &mut fs::File::create(path).unwrap()).unwrap();
        }
    } else {
        run("tar", &[Path::new("-xzf"), package, Path::new("-C"), home]);
    }
    let folder = fs::read_dir(home).unwrap().map(Result::unwrap);
    let folder: Vec<PathBuf> = folder.map(|entry| entry.path()).collect();
    assert_eq!(folder.len(), 1);
    folder[0].clone()
}

/// A package with this library, made by `scripts/release`, unpacked into a folder.
fn package(library: &Path, platform: &str, kind: &str, folder: &Path) -> Option<PathBuf> {
    installed("tools/bin/cargo-cyclonedx", "scripts/sbom")?;
    let work = TempDir::new().unwrap();
    let libraries = work.path().join("libraries");
    let packages = work.path().join("packages");
    let name = library.file_name().unwrap();
    let copy = libraries.join(platform).join(name);
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(library, &copy).unwrap();
    if kind != "zip" {
        run("strip", &[&copy]);
    }
    run(root("scripts/release"), &[&libraries, &packages]);
    let package = format!("stratoshark-cloudtrail-{VERSION}-{platform}.{kind}");
    Some(unpack(&packages.join(package), folder))
}

/// In an empty home, without Rust, for Debian's falcodump and strato.
#[test]
fn the_package_for_linux_installs_and_captures() {
    let Some(hosts) = Hosts::new("package") else {
        return;
    };
    let unpacked = TempDir::new().unwrap();
    let platform = format!("linux-{ARCH}");
    let Some(folder) = package(&built(), &platform, "tar.gz", unpacked.path()) else {
        return;
    };
    fs::remove_dir_all(hosts.folder.join(".local")).unwrap();
    let files = sample::files();
    for file in &files {
        file.write(&hosts.folder.join("logs"));
    }
    let script = folder.join("install").display().to_string();
    hosts.stdout(&[&script]);
    let falcodump = hosts
        .folder
        .join(".local/lib/stratoshark/extcap/falcodump")
        .display()
        .to_string();
    hosts.stdout(&[
        &falcodump,
        "--capture",
        "--extcap-interface",
        "cloudtrail",
        "--fifo",
        "trail.scap",
        "--plugin-source",
        "logs",
    ]);
    let columns = hosts.stdout(&["strato", "-C", "CloudTrail Analysis", "-r", "trail.scap"]);
    let events: usize = files.iter().map(|file| file.records.len()).sum();
    assert_eq!(columns.lines().count(), events);
    assert!(columns.contains("AccessDenied"), "{columns}"); // A column of the profile.
    hosts.stdout(&[&script, "--remove"]);
    assert!(!hosts.folder.join(".local").exists());
}

/// In Wine, where there is no PowerShell: the library captures from where install.ps1 puts it.
#[test]
fn the_package_for_windows_captures() {
    let Some(mut platform) = Platform::find("windows-x86_64") else {
        return;
    };
    let home = TempDir::new().unwrap();
    let Some(folder) = package(&platform.plugin, "windows-x86_64", "zip", home.path()) else {
        return;
    };
    let script = fs::read_to_string(folder.join("install.ps1")).unwrap();
    for line in [
        r#"$stratoshark = "$env:APPDATA\Stratoshark""#,
        r#"$dll = "$stratoshark\plugins\falco\cloudtrail.dll""#,
    ] {
        assert!(script.contains(line), "{line}");
    }
    let plugins = home
        .path()
        .join("AppData/Roaming/Stratoshark/plugins/falco");
    fs::create_dir_all(&plugins).unwrap();
    platform.plugin = plugins.join("cloudtrail.dll");
    fs::copy(folder.join("cloudtrail.dll"), &platform.plugin).unwrap();
    let files = sample::files();
    for file in &files {
        file.write(&home.path().join("logs"));
    }
    let logs = platform.path(&home.path().join("logs"));
    let seen = Capture::new(logs).on(&platform).run();
    assert_eq!(seen.error, None);
    assert_eq!(seen.ids(), trail::ids(&files));
}
