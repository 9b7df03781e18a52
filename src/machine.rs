//! What the machine says of itself: temperature, throttling, memory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::event::Machine;

/// Thermal zones that are no thermometer: the Jetson Nano's and Xavier's `PMIC-Die` says 100 °C for ever.
const NO_THERMOMETERS: &[&str] = &["PMIC-Die"];

/// What a thermal zone may say, °C; broken and switched-off sensors say −256, −274 or 0x7fffffff.
const PLAUSIBLE_C: std::ops::RangeInclusive<f32> = -60.0..=150.0;

/// Where the Raspberry Pi's firmware driver shows its throttling bits: the path that is documented, and the driver's
/// folder of devices for boards that call the device otherwise.
const THROTTLED: &str = "sys/devices/platform/soc/soc:firmware/get_throttled";
const FIRMWARE_DRIVER: &str = "sys/bus/platform/drivers/raspberrypi-firmware";

/// Reads from below a root folder, which is `/` but for tests. What cannot be read is not known; nothing here fails.
#[derive(Clone, Debug)]
pub struct Sensors {
    root: PathBuf,
    last: Option<(u64, Machine)>,
}

/// A reading is good for so long: temperature changes slowly, and zones are slow to read on some boards.
const FRESH_MS: u64 = 1_000;

impl Sensors {
    /// The sensors below `root`.
    pub fn new(root: &Path) -> Sensors {
        Sensors { root: root.to_path_buf(), last: None }
    }

    /// The state of the machine; read anew when the last reading is older than a second.
    pub fn machine(&mut self, now_ms: u64) -> Machine {
        match self.last {
            Some((at_ms, machine)) if now_ms.saturating_sub(at_ms) < FRESH_MS => machine,
            _ => {
                let (temperature_c, throttled) = (self.temperature_c(), self.throttled());
                let machine = Machine { temperature_c, throttled };
                self.last = Some((now_ms, machine));
                machine
            }
        }
    }

    /// Temperature of the hottest thermal zone, °C.
    pub fn temperature_c(&self) -> Option<f32> {
        let zones = fs::read_dir(self.root.join("sys/class/thermal")).ok()?;
        let zones = zones.flatten().filter(|zone| {
            zone.file_name().to_str().is_some_and(|name| name.starts_with("thermal_zone"))
        });
        zones.filter_map(|zone| zone_c(&zone.path())).max_by(f32::total_cmp)
    }

    /// The throttling bits of the Raspberry Pi's firmware: now (bits 0 to 3) and since the start (16 to 19) too little
    /// voltage, a capped clock, throttled, hot.
    pub fn throttled(&self) -> Option<u32> {
        let text = fs::read_to_string(self.root.join(THROTTLED)).ok().or_else(|| {
            let devices = fs::read_dir(self.root.join(FIRMWARE_DRIVER)).ok()?;
            devices.flatten().find_map(|d| fs::read_to_string(d.path().join("get_throttled")).ok())
        })?;
        let digits = text.trim();
        u32::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
    }

    /// Memory of this process that is in RAM, in bytes.
    pub fn rss_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(self.root.join("proc/self/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
    }
}

fn zone_c(zone: &Path) -> Option<f32> {
    let kind = fs::read_to_string(zone.join("type")).unwrap_or_default();
    if NO_THERMOMETERS.contains(&kind.trim()) {
        return None;
    }
    let millidegrees: i32 = fs::read_to_string(zone.join("temp")).ok()?.trim().parse().ok()?;
    let celsius = millidegrees as f32 / 1000.0;
    PLAUSIBLE_C.contains(&celsius).then_some(celsius)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Sensors) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let sensors = Sensors::new(root.path());
        (root, sensors)
    }

    #[test]
    fn a_raspberry_pi() {
        let (_root, mut sensors) = machine(&[
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
            ("sys/class/thermal/cooling_device0/temp", "99000\n"),
            (THROTTLED, "50005\n"),
            ("proc/self/status", "Name:\toddsight\nVmRSS:\t   51200 kB\nThreads:\t4\n"),
        ]);
        let machine = Machine { temperature_c: Some(48.312), throttled: Some(0x50005) };
        assert_eq!(sensors.machine(0), machine);
        assert_eq!(sensors.rss_bytes(), Some(50 << 20));
    }

    #[test]
    fn a_board_that_calls_its_firmware_otherwise() {
        let path = format!("{FIRMWARE_DRIVER}/soc@107c000000:firmware/get_throttled");
        let (_root, sensors) = machine(&[(&path, "0\n")]);
        assert_eq!((sensors.throttled(), sensors.temperature_c()), (Some(0), None));
    }

    #[test]
    fn a_jetson_has_zones_that_are_no_thermometers() {
        let zone = |n: u32, file: &str| format!("sys/class/thermal/thermal_zone{n}/{file}");
        let (_root, sensors) = machine(&[
            (&zone(0, "type"), "AO-therm\n"),
            (&zone(0, "temp"), "31000\n"),
            (&zone(1, "type"), "CPU-therm\n"),
            (&zone(1, "temp"), "34500\n"),
            (&zone(2, "type"), "cv0-thermal\n"),
            (&zone(3, "type"), "gpu-thermal\n"),
            (&zone(3, "temp"), "-256000\n"),
            (&zone(4, "type"), "PMIC-Die\n"),
            (&zone(4, "temp"), "100000\n"),
            (&zone(5, "temp"), "nonsense\n"),
        ]);
        assert_eq!(sensors.temperature_c(), Some(34.5));
    }

    #[test]
    fn nothing_is_known_of_an_unknown_machine() {
        let (root, mut sensors) = machine(&[]);
        assert_eq!(sensors.machine(0), Machine::default());
        assert_eq!(sensors.rss_bytes(), None);
        let zone = root.path().join("sys/class/thermal/thermal_zone0");
        fs::create_dir_all(&zone).unwrap();
        fs::write(zone.join("temp"), "20000").unwrap();
        assert_eq!(sensors.machine(999), Machine::default(), "the last reading is fresh");
        assert_eq!(sensors.machine(1000).temperature_c, Some(20.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_memory() {
        let rss = Sensors::new(Path::new("/")).rss_bytes().unwrap();
        assert!(rss > 100_000, "{rss}");
    }
}
