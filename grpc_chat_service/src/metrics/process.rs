//! The process, under the names that Prometheus' other client libraries use. On Linux only.

use prometheus_client::registry::Registry;

#[cfg(target_os = "linux")]
pub(super) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(linux::Process));
}

#[cfg(not(target_os = "linux"))]
pub(super) fn register(_: &mut Registry) {}

#[cfg(target_os = "linux")]
mod linux {
    use std::fmt;

    use procfs::ProcResult;
    use procfs::process::LimitValue;
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::DescriptorEncoder;
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;

    use super::super::register::show;

    /// What the kernel says about this process, whenever it is asked.
    #[derive(Debug)]
    pub(super) struct Process;

    struct Figures {
        cpu_seconds: f64,
        start_seconds: f64,
        resident_bytes: u64,
        open_fds: u64,
        max_fds: Option<u64>,
    }

    impl Collector for Process {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            // Without /proc the other metrics are shown all the same.
            let Ok(Figures { cpu_seconds, start_seconds, resident_bytes, open_fds, max_fds }) = read() else {
                return Ok(());
            };
            let encoder = &mut encoder;
            let help = "Seconds of CPU time used, in user and kernel mode";
            show(encoder, "process_cpu_seconds", help, &ConstCounter::new(cpu_seconds))?;
            let help = "When the process started, in seconds since 1970";
            show(encoder, "process_start_time_seconds", help, &ConstGauge::new(start_seconds))?;
            let help = "Bytes of memory that the process has in RAM";
            show(encoder, "process_resident_memory_bytes", help, &ConstGauge::new(resident_bytes))?;
            show(encoder, "process_open_fds", "File descriptors that are open", &ConstGauge::new(open_fds))?;
            match max_fds {
                Some(max_fds) => {
                    show(encoder, "process_max_fds", "File descriptors that may be open", &ConstGauge::new(max_fds))
                }
                None => Ok(()),
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds and clock ticks are below 2^53")]
    fn read() -> ProcResult<Figures> {
        let process = procfs::process::Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        Ok(Figures {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            start_seconds: procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks,
            resident_bytes: stat.rss.saturating_mul(procfs::page_size()),
            open_fds: process.fd_count()? as u64,
            max_fds: match process.limits()?.max_open_files.soft_limit {
                LimitValue::Value(max) => Some(max),
                LimitValue::Unlimited => None,
            },
        })
    }
}
