//! Recordings by the days of a tenant, for whoever looks for those that nothing leads to.
use super::folder::{self, DAY, PART};
use chrono::NaiveDate;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// The days of a tenant that have files and ended before this one, the oldest first.
pub(super) fn days(directory: &Path, domain_uuid: Uuid, before: NaiveDate) -> io::Result<Vec<NaiveDate>> {
    let tenant = directory.join(domain_uuid.to_string());
    let mut days = Vec::new();
    for (year, folder) in numbered(&tenant)? {
        for (month, folder) in numbered(&folder)? {
            for (day, _) in numbered(&folder)? {
                let date = i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
                days.extend(date.filter(|date| *date < before));
            }
        }
    }
    days.sort_unstable();
    Ok(days)
}

/// Folders within this one that are called by a number.
fn numbered(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let number = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()));
    Ok(entries.flatten().filter_map(number).filter(|(_, path)| path.is_dir()).collect())
}

/// The paths of the recordings of a day of a tenant, finished or not.
pub(super) fn of_day(directory: &Path, domain_uuid: Uuid, day: NaiveDate) -> io::Result<Vec<String>> {
    let folder = format!("{domain_uuid}/{}", day.format(DAY));
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(directory.join(&folder))?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) else { continue };
        let name = name.strip_suffix(&format!(".{PART}")).unwrap_or(name);
        if folder::is_recording(name) {
            paths.insert(format!("{folder}/{name}"));
        }
    }
    Ok(paths.into_iter().collect())
}

/// The path of the recording of a conversation, finished or not, of whatever tenant, that began on this day or the one before.
pub(super) fn of_conversation(directory: &Path, conversation: Uuid, day: NaiveDate) -> Option<String> {
    let tenants = fs::read_dir(directory).ok()?.flatten();
    let tenants = tenants.filter_map(|entry| entry.file_name().to_str()?.parse::<Uuid>().ok());
    let days = [Some(day), day.pred_opt()];
    let mut paths = tenants.flat_map(|tenant| {
        let days = days.into_iter().flatten();
        // A tenant without a recording on that day has no such folder.
        days.flat_map(move |day| of_day(directory, tenant, day).unwrap_or_default())
    });
    let own = conversation.to_string();
    paths.find(|path| {
        let name = path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
        name == own || name.ends_with(&format!("-{own}"))
    })
}

/// Removes the folders of a day that are empty by now.
pub(super) fn tidy(directory: &Path, domain_uuid: Uuid, day: NaiveDate) {
    let day = directory.join(format!("{domain_uuid}/{}", day.format(DAY)));
    // The day, its month, its year; never the tenant's own, by which its folder is known.
    for folder in day.ancestors().take(3) {
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}
