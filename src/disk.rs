//! What is on the disk for good: a file whose folder was not synced is gone with its name when the power goes.
use std::{fs::File, path::Path};

/// Has the names in a folder on the disk. There are file systems that cannot do this for a folder, and need not be told
/// to.
pub(crate) fn sync(folder: &Path) {
    // What is above a relative path is here.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    drop(File::open(folder).and_then(|folder| folder.sync_all()));
}

/// The same of the folder that a file is in, or is not any more.
pub(crate) fn sync_names_beside(file: &Path) {
    file.parent().into_iter().for_each(sync);
}
