//! Headers whose value is one number or word.
use super::{Headers, Name};

impl Headers {
    /// Call-ID.
    pub fn call_id(&self) -> Option<&str> {
        self.first(Name::CallId)
    }

    /// Max-Forwards, up to 255.
    pub fn max_forwards(&self) -> Option<u8> {
        match self.rsip(Name::MaxForwards)? {
            rsip::Header::MaxForwards(header) => header.num().ok()?.try_into().ok(),
            _ => None,
        }
    }

    /// Expires in seconds; a malformed one counts as absent (RFC 3261 §20.19).
    pub fn expires(&self) -> Option<u32> {
        match self.rsip(Name::Expires)? {
            rsip::Header::Expires(header) => header.seconds().ok(),
            _ => None,
        }
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Option<u32> {
        self.first(Name::MinExpires)?.parse().ok()
    }

    /// Retry-After in seconds, without its comment and parameters.
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.first(Name::RetryAfter)?;
        value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Media type of the body in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.first(Name::ContentType)?;
        let media = value.split(';').next().unwrap_or_default();
        Some(media.split_whitespace().collect::<String>().to_ascii_lowercase())
    }

    /// Whether a header that lists tokens (`Supported`, `Require`, `Allow`) names this one, in any case.
    pub fn lists(&self, name: Name, token: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// The tokens of a header that lists them.
    pub fn tokens(&self, name: Name) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("Max-Forwards", "0068"),
            ("Expires", "90"),
            ("Retry-After", "18000;duration=3600"),
            ("c", "Application/SDP ; charset=x"),
            ("k", "path, Replaces"),
            ("k", "timer"),
        ] {
            headers.push_named(name, value).unwrap();
        }
        assert_eq!(
            (headers.max_forwards(), headers.expires(), headers.retry_after()),
            (Some(68), Some(90), Some(18000))
        );
        assert_eq!(headers.content_type().as_deref(), Some("application/sdp"));
        assert!(headers.lists(Name::Supported, "replaces") && headers.lists(Name::Supported, "timer"));
        assert!(!headers.lists(Name::Supported, "100rel"));
        assert_eq!(headers.tokens(Name::Supported).count(), 3);
        headers.set(Name::MaxForwards, "300");
        headers.set(Name::Expires, "soon");
        assert_eq!((headers.max_forwards(), headers.expires()), (None, None));
    }
}
