//! Hardware in the loop: cameras and GPIO lines of a rig, real or emulated.
//!
//! `HIL_RIG=FILE cargo test --test hil` runs what the rig file names; firmware-config/rigs has examples. Without it each
//! trial is one SKIP line. `scripts/emulate-boards` runs this program on emulated boards.

#[cfg(target_os = "linux")]
#[path = "hil/camera.rs"]
mod camera;
#[cfg(target_os = "linux")]
#[path = "hil/lines.rs"]
mod lines;
#[cfg(target_os = "linux")]
#[path = "hil/rig.rs"]
mod rig;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Trial};

    let mut arguments = Arguments::from_args();
    // One trial at a time has the hardware.
    arguments.test_threads = Some(1);
    let rig = std::env::var_os("HIL_RIG").map(|path| rig::Rig::read(path.as_ref()));
    let plan = camera::plan(rig.as_ref()).into_iter().chain(lines::plan(rig.as_ref()));
    let listing = arguments.list;
    let files = rig.is_none().then(|| Trial::test("rigs::files_can_be_read", rigs_can_be_read));
    let trials = plan.map(|(name, run)| match run {
        Ok(run) => Trial::test(name, move || run().map_err(Into::into)),
        Err(why) => {
            if !listing {
                println!("SKIP {name}: {why}");
            }
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, files.into_iter().chain(trials).collect()).exit_code()
}

#[cfg(target_os = "linux")]
fn rigs_can_be_read() -> Result<(), libtest_mimic::Failed> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/firmware-config/rigs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let rig = rig::Rig::read(&entry?.path());
        count += usize::from(rig.camera.is_some() || !rig.output.is_empty());
    }
    if count == 0 { Err(format!("no rig in {folder}").into()) } else { Ok(()) }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIP: cameras and lines are those of Linux");
}
