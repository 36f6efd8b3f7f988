//! `;name=value` parameters of headers, kept as written.
use super::lex;
use std::fmt;

/// Parameters in order. Names compare without case; values are as on the wire, quotes included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, Option<String>)>);

impl Params {
    /// Reads `;a=1;b;c="x"`, or nothing. `None` if a name is no token, a quoted value never ends, or other text is
    /// in front.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Some(Self::default());
        }
        let list = text.strip_prefix(';')?;
        let mut params = Vec::new();
        for piece in lex::split_list(list, ';').filter(|piece| !piece.is_empty()) {
            let (name, value) = match piece.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
                None => (piece, None),
            };
            if !lex::is_token(name) || value.is_some_and(|v| !is_value(v)) {
                return None;
            }
            params.push((name.to_owned(), value.map(str::to_owned)));
        }
        Some(Self(params))
    }

    /// The value as written; empty for a parameter without one; `None` if absent.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value.as_deref().unwrap_or_default())
    }

    /// The value without quotes and escapes.
    pub fn unquoted(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| lex::unquote(value).into_owned())
    }

    /// Sets `name=value`, in place if it is there.
    pub fn set(&mut self, name: &str, value: &str) {
        self.put(name, Some(value.to_owned()));
    }

    /// Sets `name` without a value.
    pub fn set_flag(&mut self, name: &str) {
        self.put(name, None);
    }

    /// Adds a parameter at the end, whether it is there already or not.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), Some(value.to_owned())));
    }

    /// Takes `name` out.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Every parameter, values as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

/// A quoted string that ends, or anything free of quotes.
fn is_value(value: &str) -> bool {
    if value.starts_with('"') { lex::quoted_length(value) == Some(value.len()) } else { !value.contains('"') }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.0 {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let params = Params::parse(r#" ; lr ;A = 1;+sip.instance="<urn:uuid;1>";empty= "#).unwrap();
        assert_eq!(params.value("LR"), Some(""));
        assert_eq!(params.value("a"), Some("1"));
        assert_eq!(params.unquoted("+sip.instance").as_deref(), Some("<urn:uuid;1>"));
        assert_eq!(params.to_string(), r#";lr;A=1;+sip.instance="<urn:uuid;1>";empty="#);
    }

    #[test]
    fn refuses_what_is_no_parameter() {
        for text in ["x;a=1", ";a b=1", ";=1", ";a=\"never"] {
            assert_eq!(Params::parse(text), None, "{text}");
        }
    }
}
