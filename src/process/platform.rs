//! What differs by platform.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Keep SIGPIPE from this thread, which must be ours.
///
/// sysdig and falcodump leave it at its default, which ends the process: a connection that is reset while
/// something is being sent must not do that. Windows has no signals of this kind.
pub(crate) fn block_sigpipe() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, Signal};
        let mut set = SigSet::empty();
        set.add(Signal::SIGPIPE);
        // Fails for invalid arguments only.
        _ = set.thread_block();
    }
}

/// Write to standard error, which may be closed or be a pipe that is.
pub(crate) fn write_stderr(text: String) {
    // Whether anybody listens is the host's business.
    let write = move || _ = std::io::stderr().write_all(text.as_bytes());
    if !cfg!(unix) {
        return write();
    }
    // On a thread of its own, since a closed pipe must not end the host.
    let thread = std::thread::Builder::new().spawn(move || {
        block_sigpipe();
        write();
    });
    if let Ok(thread) = thread {
        _ = thread.join();
    }
}

/// Replace a file by one that only its owner may read, all at once: whatever happens, there is the old one or the new one.
/// The new one is written to `part` first, in the same folder, whose name no other process uses.
pub(crate) fn replace_file(path: &Path, part: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // One that was left behind; through a link of somebody else's nothing is written.
    _ = std::fs::remove_file(part);
    let mut file = private_file().write(true).create_new(true).open(part)?;
    let replaced = file
        .write_all(bytes)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(part, path));
    replaced.inspect_err(|_| _ = std::fs::remove_file(part))?;
    // The folder has its name, and only Unix flushes folders by themselves. The file is whole in any case.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// The system's errors where no more files may be opened: by this process, and by all together.
pub(crate) const TOO_MANY_FILES: [i32; 2] = [libc::EMFILE, libc::ENFILE];

/// So many of the files that the process may open are left to the host, and to listings.
const OF_THE_HOST: u64 = 128;

/// How many connections this process may open beside the files that are open now, less a share for the host; some in any
/// case. Its limits are never changed.
pub(crate) fn spare_connections() -> usize {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit};
        let open = if cfg!(target_os = "linux") {
            "/proc/self/fd"
        } else {
            "/dev/fd"
        };
        let open = std::fs::read_dir(open).map_or(0, |files| files.count() as u64);
        // Fails for invalid arguments only.
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((256, 256));
        // Some more are open for a moment, where one is given back while another is made in its place.
        let spare = limit.saturating_sub(open + OF_THE_HOST) / 10 * 9;
        usize::try_from(spare).unwrap_or(usize::MAX).max(16)
    }
    #[cfg(not(unix))]
    usize::MAX
}

/// Keep this library in memory until the process ends.
///
/// Hosts unload it after a capture; a thread that hangs in a lookup of a name must find its code there. On Linux the
/// linker has seen to it, see build.rs.
pub(crate) fn stay_loaded() {
    #[cfg(windows)]
    {
        use windows_sys::Win32::System::LibraryLoader::{
            GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
            GetModuleHandleExW,
        };
        let flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
        let ours = stay_loaded as fn() as *const u16;
        let mut module = std::ptr::null_mut();
        // SAFETY: the flags say that this is an address of the module, not a name; the handle is ours to write to.
        _ = unsafe { GetModuleHandleExW(flags, ours, &mut module) };
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        let ours = stay_loaded as fn() as *const libc::c_void;
        // SAFETY: plain data, for which zero is valid.
        let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: an address of this library and a structure of ours.
        if unsafe { libc::dladdr(ours, &mut info) } != 0 {
            let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
            // SAFETY: dladdr gave a C string; the library is loaded already, so no code of its runs.
            _ = unsafe { libc::dlopen(info.dli_fname, flags) };
        }
    }
}

/// A path as users write it: `~` is their home folder, and on Windows so is `%USERPROFILE%`. There, the Explorer's *Copy as
/// path* puts it in quotes.
pub(crate) fn user_path(text: &str) -> PathBuf {
    let path = match text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    {
        Some(path) if cfg!(windows) => path,
        _ => text,
    };
    let is_separator = |c: char| std::path::is_separator(c);
    let below_home = ["~", "%USERPROFILE%"]
        .into_iter()
        .take(if cfg!(windows) { 2 } else { 1 })
        .find_map(|home| {
            let (start, rest) = path.split_at_checked(home.len())?;
            let is_home = start.eq_ignore_ascii_case(home);
            (is_home && (rest.is_empty() || rest.starts_with(is_separator))).then_some(rest)
        });
    match (below_home, std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches(is_separator)),
        _ => PathBuf::from(path),
    }
}

/// How folders are made that other users may not look into, with those above them. On Windows, see
/// [`take_rights_of_others`].
pub(crate) fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// How files are opened that other users may not read if they are made. On Windows their folder sees to it.
pub(crate) fn private_file() -> OpenOptions {
    #[cfg(unix)]
    {
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
    }
    #[cfg(not(unix))]
    OpenOptions::new()
}

/// On Windows, take the rights of other users to a new folder away, and to all that will be in it. False if that failed.
pub(crate) fn take_rights_of_others(folder: &Path) -> bool {
    #[cfg(windows)]
    {
        use std::os::windows::process::CommandExt;
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        // Nothing is inherited, and whoever owns it, which is what S-1-3-4 stands for, has every right.
        let icacls = std::process::Command::new("icacls")
            .arg(folder)
            .args(["/inheritance:r", "/grant:r", "*S-1-3-4:(OI)(CI)F"])
            .creation_flags(CREATE_NO_WINDOW)
            .output();
        icacls.is_ok_and(|output| output.status.success())
    }
    #[cfg(not(windows))]
    {
        _ = folder;
        true
    }
}

/// What other users may do with a folder.
#[derive(Debug, PartialEq)]
pub(crate) enum Others {
    Nothing,
    Read,
    Write,
    /// One of them owns it.
    Own,
}

/// What other users may do with a folder, for the user who made the file `mine`. On Windows that is not looked at.
pub(crate) fn others(folder: &Metadata, mine: &Metadata) -> Others {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if folder.uid() != mine.uid() {
            return Others::Own;
        }
        match folder.mode() {
            mode if mode & 0o022 > 0 => Others::Write,
            mode if mode & 0o044 > 0 => Others::Read,
            _ => Others::Nothing,
        }
    }
    #[cfg(not(unix))]
    {
        _ = (folder, mine);
        Others::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_path_may_begin_at_home() {
        let home = std::env::home_dir().unwrap();
        assert_eq!(user_path("~"), home);
        assert_eq!(user_path("~/"), home);
        assert_eq!(user_path("~/a b/c"), home.join("a b/c"));
        for path in ["~other/c", "/a/~/c", "c", "/"] {
            assert_eq!(user_path(path), PathBuf::from(path));
        }
    }
}
