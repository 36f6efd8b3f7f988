//! `RAMAL_<SECTION>_<KEY>` over what the file says.
use super::{
    Environment,
    check::{Check, Place},
    raw,
};
use toml::{Table, Value};

/// Puts the variables into the sections; values stay texts, which [`Check`] reads leniently at these places.
pub(super) fn apply(table: &mut Table, check: &mut Check<'_>) {
    let env: &Environment = check.env;
    for (variable, value) in env {
        let Some(name) = variable.strip_prefix("RAMAL_").map(str::to_ascii_lowercase) else { continue };
        let Some((section, keys)) = raw::SECTIONS.iter().find(|(section, _)| belongs(&name, section)) else { continue };
        let key = name.get(section.len() + 1..).unwrap_or_default();
        let place = Place { section, key };
        check.overridden.insert(format!("{section}.{key}"), variable.clone());
        if !keys.contains(&key) {
            check.refuse(place, None, format!("no such key in [{section}]; allowed are {}", keys.join(", ")));
            continue;
        }
        // A section that is not a table is refused where sections are read.
        if let Value::Table(section) = table.entry(*section).or_insert_with(|| Value::Table(Table::new())) {
            section.insert(key.to_owned(), Value::String(value.clone()));
        }
    }
}

fn belongs(name: &str, section: &str) -> bool {
    name.strip_prefix(section).is_some_and(|rest| rest.starts_with('_'))
}
