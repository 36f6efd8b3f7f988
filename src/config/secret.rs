//! A value that must not be seen.
use std::fmt;

/// A password, key or URL with one in it. `Debug` shows dots; there is no `Display` and no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads a secret as it is written in a configuration: `env:NAME`, `file:/path`, or the value itself.
///
/// # Errors
/// What is missing, without the value.
pub(super) fn resolve(written: &str, env: &super::Environment) -> Result<Secret, String> {
    let value = if let Some(name) = written.strip_prefix("env:") {
        env.get(name)
            .cloned()
            .ok_or_else(|| format!("the environment has no variable {name}; set it or write the value here"))?
    } else if let Some(path) = written.strip_prefix("file:") {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        written.to_owned()
    };
    if value.is_empty() { Err("is empty".into()) } else { Ok(Secret(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_three_places_and_shows_in_none() {
        let file = std::env::temp_dir().join(format!("ramal-secret-{}", uuid::Uuid::new_v4()));
        std::fs::write(&file, "from file\n").unwrap();
        let env = super::super::Environment::from([("KEY".to_owned(), "from env".to_owned())]);
        for (written, want) in
            [("literal", "literal"), ("env:KEY", "from env"), (&*format!("file:{}", file.display()), "from file")]
        {
            let secret = resolve(written, &env).unwrap();
            assert_eq!(secret.expose(), want);
            assert_eq!(format!("{secret:?}"), "Secret(…)");
        }
        std::fs::remove_file(file).unwrap();
        assert!(resolve("env:NONE", &env).unwrap_err().contains("no variable NONE"));
        assert!(resolve("file:/nowhere/at/all", &env).unwrap_err().contains("cannot be read"));
        assert!(resolve("", &env).is_err());
    }
}
