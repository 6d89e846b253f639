//! What the system tells of the board: cores, clocks, temperatures, battery. All of it from files
//! below a root, so that tests can make a board up; what isn't told is absent.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Temperature at which runs wait where the board states no threshold of its own.
const HOT_CELSIUS: f64 = 60.0;
/// Distance to keep from the lowest threshold at which the system slows down.
const HOT_MARGIN: f64 = 10.0;
/// Outside of this a zone is no thermometer.
const CELSIUS: std::ops::Range<f64> = 1.0..150.0;

/// The board, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Board {
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Kernel and its version.
    pub(crate) system: String,
    pub(crate) cores: Vec<Core>,
    pub(crate) zones: Vec<Zone>,
    /// Below which the files are.
    #[serde(skip)]
    root: PathBuf,
}

/// A core that this process may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Core {
    pub(crate) core: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clock_mhz_max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) governor: Option<String>,
}

/// A thermometer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) kind: String,
    pub(crate) celsius: f64,
    /// Lowest temperature at which the system slows down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slows_at_celsius: Option<f64>,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            name: None,
            system: String::new(),
            cores: vec![],
            zones: vec![],
            root: "/".into(),
        }
    }
}

impl Board {
    pub(crate) fn of_system() -> Self {
        Self::at(Path::new("/"), &crate::os::allowed_cores())
    }

    fn at(root: &Path, allowed: &[usize]) -> Self {
        let mut board = Self {
            root: root.into(),
            ..Self::default()
        };
        // Device trees end their texts with a zero.
        board.name = board.text("proc/device-tree/model");
        let kernel = board.text("proc/sys/kernel/osrelease").unwrap_or_default();
        board.system = format!("{} {kernel}", std::env::consts::OS).trim().into();
        board.cores = allowed
            .iter()
            .map(|core| Core {
                core: *core,
                clock_mhz_max: board.clock_mhz_max(*core),
                governor: board.governor(*core),
            })
            .collect();
        board.zones = board.processor_zones();
        board
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_string())
    }

    fn number(&self, path: &str) -> Option<f64> {
        self.text(path)?.parse().ok()
    }

    fn of_core(&self, core: usize, what: &str) -> Option<String> {
        self.text(&format!("sys/devices/system/cpu/cpu{core}/{what}"))
    }

    fn mhz(&self, core: usize, what: &str) -> Option<f64> {
        let khz: f64 = self.of_core(core, what)?.parse().ok()?;
        (khz > 0.0).then_some(khz / 1e3)
    }

    /// Highest clock of a core.
    pub(crate) fn clock_mhz_max(&self, core: usize) -> Option<f64> {
        self.mhz(core, "cpufreq/cpuinfo_max_freq")
    }

    /// Clock of a core now.
    pub(crate) fn clock_mhz(&self, core: usize) -> Option<f64> {
        self.mhz(core, "cpufreq/scaling_cur_freq")
    }

    pub(crate) fn governor(&self, core: usize) -> Option<String> {
        self.of_core(core, "cpufreq/scaling_governor")
    }

    /// Size of each core: its capacity where the kernel states that of all, else its highest clock.
    pub(crate) fn sizes(&self, cores: &[usize]) -> Vec<(usize, u64)> {
        let all = |what: &str| -> Option<Vec<(usize, u64)>> {
            let size = |c: &usize| Some((*c, self.of_core(*c, what)?.parse().ok()?));
            cores.iter().map(size).collect()
        };
        all("cpu_capacity")
            .or_else(|| all("cpufreq/cpuinfo_max_freq"))
            .unwrap_or_else(|| cores.iter().map(|c| (*c, 0)).collect())
    }

    /// Thermometers of the processor; all of them where none says what it is of.
    fn processor_zones(&self) -> Vec<Zone> {
        let Ok(entries) = fs::read_dir(self.root.join("sys/class/thermal")) else {
            return vec![];
        };
        let mut names: Vec<String> = entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .filter(|n| n.starts_with("thermal_zone"))
            .collect();
        names.sort_unstable();
        let zones: Vec<Zone> = names.iter().filter_map(|n| self.zone(n)).collect();
        let of_processor = |z: &&Zone| {
            let kind = z.kind.to_lowercase();
            ["cpu", "soc", "x86_pkg", "tsens", "big", "little"]
                .iter()
                .any(|k| kind.contains(k))
        };
        let processor: Vec<Zone> = zones.iter().filter(of_processor).cloned().collect();
        if processor.is_empty() {
            zones
        } else {
            processor
        }
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        let file = |what: &str| format!("sys/class/thermal/{name}/{what}");
        let celsius = self.number(&file("temp"))? / 1e3;
        // A dozen trip points is the kernel's limit.
        let passive = (0..12).filter_map(|i| {
            let kind = self.text(&file(&format!("trip_point_{i}_type")))?;
            let at = self.number(&file(&format!("trip_point_{i}_temp")))? / 1e3;
            (kind == "passive" && CELSIUS.contains(&at)).then_some(at)
        });
        CELSIUS.contains(&celsius).then(|| Zone {
            kind: self.text(&file("type")).unwrap_or_default(),
            celsius,
            slows_at_celsius: passive.reduce(f64::min),
        })
    }

    /// Temperature of the hottest zone of the processor now.
    pub(crate) fn celsius(&self) -> Option<f64> {
        let zones = self.processor_zones();
        zones.iter().map(|z| z.celsius).reduce(f64::max)
    }

    /// Whether runs should wait: a zone is within ten degrees of slowing the system down, or at 60
    /// where it doesn't say when it would.
    pub(crate) fn is_hot(&self) -> bool {
        let hot =
            |z: &Zone| z.celsius > z.slows_at_celsius.map_or(HOT_CELSIUS, |at| at - HOT_MARGIN);
        self.processor_zones().iter().any(hot)
    }

    pub(crate) fn battery_percent(&self) -> Option<u32> {
        let folder = "sys/class/power_supply";
        let entries = fs::read_dir(self.root.join(folder)).ok()?;
        let mut names: Vec<String> = entries
            .filter_map(|e| e.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names.iter().find_map(|name| {
            let kind = self.text(&format!("{folder}/{name}/type"))?;
            let percent = self.text(&format!("{folder}/{name}/capacity"))?;
            (kind == "Battery").then(|| percent.parse().ok())?
        })
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; cores", self.system)?;
        for core in &self.cores {
            write!(f, " {}", core.core)?;
            if let Some(mhz) = core.clock_mhz_max {
                write!(f, " ({mhz:.0} MHz)")?;
            }
        }
        for zone in &self.zones {
            write!(f, "; {} {:.0} °C", zone.kind, zone.celsius)?;
        }
        Ok(())
    }
}

/// The cores of the greatest size, ascending.
pub(crate) fn biggest(cores: &[(usize, u64)]) -> Vec<usize> {
    let most = cores.iter().map(|(_, size)| *size).max();
    let big = cores.iter().filter(|(_, size)| Some(*size) == most);
    big.map(|(core, _)| *core).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A phone of four small, three big and one biggest core.
    fn phone() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let write = |path: String, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        };
        for core in 0..8 {
            let clock =
                [1_800_000, 2_400_000, 2_850_000][usize::from(core >= 4) + usize::from(core == 7)];
            let cpu = format!("sys/devices/system/cpu/cpu{core}/cpufreq");
            write(format!("{cpu}/cpuinfo_max_freq"), &clock.to_string());
            write(format!("{cpu}/scaling_cur_freq"), &(clock / 2).to_string());
            write(format!("{cpu}/scaling_governor"), "schedutil");
        }
        let zone = |i: usize, kind: &str, temp: &str| {
            write(format!("sys/class/thermal/thermal_zone{i}/type"), kind);
            write(format!("sys/class/thermal/thermal_zone{i}/temp"), temp);
        };
        zone(0, "battery", "99000");
        zone(1, "cpu-0-0-usr", "41500");
        zone(2, "cpu-1-7-usr", "48000");
        zone(3, "cpu-broken", "-273000");
        write(
            "sys/class/thermal/thermal_zone2/trip_point_0_type".into(),
            "critical",
        );
        write(
            "sys/class/thermal/thermal_zone2/trip_point_0_temp".into(),
            "50000",
        );
        write(
            "sys/class/thermal/thermal_zone2/trip_point_1_type".into(),
            "passive",
        );
        write(
            "sys/class/thermal/thermal_zone2/trip_point_1_temp".into(),
            "75000",
        );
        write("sys/class/power_supply/usb/type".into(), "USB");
        write("sys/class/power_supply/battery/type".into(), "Battery");
        write("sys/class/power_supply/battery/capacity".into(), "83");
        write("proc/device-tree/model".into(), "Some Board Rev 1.4\0");
        root
    }

    #[test]
    fn a_phone_is_read_from_its_files() {
        let root = phone();
        let cores: Vec<usize> = (0..8).collect();
        let board = Board::at(root.path(), &cores);
        assert_eq!(board.name.as_deref(), Some("Some Board Rev 1.4"));
        assert_eq!(board.cores.len(), 8);
        assert_eq!(board.clock_mhz_max(7), Some(2850.0));
        assert_eq!(board.clock_mhz(7), Some(1425.0));
        assert_eq!(board.governor(3).as_deref(), Some("schedutil"));
        assert_eq!(biggest(&board.sizes(&cores)), [7]);
        // Cores that are closed to this process don't count.
        assert_eq!(biggest(&board.sizes(&cores[..7])), [4, 5, 6]);
        assert_eq!(board.celsius(), Some(48.0));
        assert_eq!(board.battery_percent(), Some(83));
        assert!(!board.is_hot());
        let zone = root.path().join("sys/class/thermal/thermal_zone2/temp");
        fs::write(&zone, "66000\n").unwrap();
        assert!(board.is_hot(), "within ten degrees of 75");
        fs::write(&zone, "64000\n").unwrap();
        assert!(!board.is_hot());
        fs::write(
            root.path().join("sys/class/thermal/thermal_zone1/temp"),
            "61000\n",
        )
        .unwrap();
        assert!(board.is_hot(), "no threshold of its own: 60");
    }

    #[test]
    fn the_kernels_capacities_come_before_clocks() {
        let root = phone();
        for core in 0..8 {
            let path = format!("sys/devices/system/cpu/cpu{core}/cpu_capacity");
            let capacity = if core < 4 { "1024" } else { "400" };
            fs::write(root.path().join(path), capacity).unwrap();
        }
        let cores: Vec<usize> = (0..8).collect();
        let board = Board::at(root.path(), &cores);
        assert_eq!(biggest(&board.sizes(&cores)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_system_that_tells_nothing_is_no_error() {
        let root = tempfile::tempdir().unwrap();
        let board = Board::at(root.path(), &[0, 1]);
        assert_eq!((board.celsius(), board.battery_percent()), (None, None));
        assert!(!board.is_hot() && board.zones.is_empty());
        assert_eq!(biggest(&board.sizes(&[0, 1])), [0, 1]);
        assert!(biggest(&[]).is_empty());
        let line = serde_json::to_string(&board).unwrap();
        let again: Board = serde_json::from_str(&line).unwrap();
        assert_eq!(again.cores, board.cores);
    }
}
