//! What else the machine was doing that was measured on.
use std::fs;

/// By which rule a process gets a core when others want it too: fields 40 and 41 of proc(5)'s `stat`.
pub(crate) fn scheduling(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses, which may hold spaces; the third follows it.
    let after = text.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let mut fields = after.split_whitespace().skip(37);
    let (priority, policy) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    match policy {
        "1" => format!("before all others (SCHED_FIFO, priority {priority})"),
        "2" => format!("before all others (SCHED_RR, priority {priority})"),
        _ => "as any process does".to_owned(),
    }
}

/// Load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// CPU time of all processes so far, in hundredths of a second: what was worked, and what the hypervisor took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    busy: u64,
    stolen: u64,
    total: u64,
}

impl Work {
    /// As of this moment.
    pub(crate) fn so_far() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let first = text.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; the guest fields after are in user already.
        let fields: Vec<u64> = first.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let total = fields.iter().sum();
        Self { busy: total - field(3) - field(4) - field(7), stolen: field(7), total }
    }

    /// Percent of all cores that were busy since `before`, and percent stolen.
    pub(crate) fn percent_since(self, before: Self) -> (f64, f64) {
        let total = self.total.saturating_sub(before.total).max(1) as f64;
        let part = |now: u64, then: u64| 100.0 * now.saturating_sub(then) as f64 / total;
        (part(self.busy, before.busy), part(self.stolen, before.stolen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{Machine, when};
    use std::path::Path;

    #[test]
    fn this_machine_does_some_work() {
        let (busy, stolen) = Work::so_far().percent_since(Work::default());
        assert!(busy > 0.0 && busy <= 100.0 && (0.0..=100.0).contains(&stolen));
    }

    #[test]
    fn this_machine_has_a_name() {
        let machine = Machine::look().unwrap();
        assert!(!machine.cpu.is_empty() && machine.cores > 0 && machine.memory_gib > 0.0, "{machine:?}");
        assert!(machine.to_string().starts_with(&machine.cpu) && machine.to_string().contains(" GiB; Linux "));
    }

    #[test]
    fn a_page_has_its_day_where_there_is_no_commit() {
        let day: String = when(Path::new("/")).chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert!(day.starts_with("0000-00-00"), "{day}");
    }
}
