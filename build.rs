//! Link arguments of the plugin.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Hosts unload the library after a capture; a thread that hangs in a lookup of a name must find its code there.
    // For other systems, see src/process/platform.rs.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        // A dependency exports C functions of its own; hosts are to see those of the plugin only.
        if !std::env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("zigcc")) {
            println!("cargo:rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
        } else {
            // Which zig's linker doesn't know; of two lists of symbols it takes the last.
            let folder = std::env::var("OUT_DIR").expect("Cargo sets it");
            let list = format!("{folder}/exported");
            std::fs::write(&list, "{ global: plugin_*; local: *; };").expect("Cargo makes it");
            println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={list}");
        }
    }
}
