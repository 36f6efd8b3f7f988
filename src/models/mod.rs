//! Speech models: what there is, where it comes from, and whether it is here.
pub mod catalogue;
pub mod digest;

use std::{env, path::PathBuf};

/// The folder of models: `$RAMAL_MODELS`, else `ramal/models` in the user's data folder.
pub fn default_dir() -> PathBuf {
    if let Some(dir) = env::var_os("RAMAL_MODELS").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    let data = env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    data.or_else(home).unwrap_or_else(|| PathBuf::from(".")).join("ramal/models")
}
