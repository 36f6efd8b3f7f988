//! Lines of a message, without reading more of it than that.

/// Header lines after the first line, folded ones joined to the header they belong to (RFC 3261 §7.3.1), and where the
/// body begins: `length` of the bytes if there is none. Each item is the range of one header without its line end.
pub(super) struct HeaderLines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> HeaderLines<'a> {
    /// Stands behind the first line, which it gives too; `None` if there is no line end at all.
    pub(super) fn new(bytes: &'a [u8]) -> Option<(&'a [u8], Self)> {
        let end = memchr::memchr(b'\n', bytes)?;
        Some((trimmed(bytes.get(..end)?), Self { bytes, at: end + 1 }))
    }

    /// The range of the next header, or `None` at the blank line, which it passes.
    pub(super) fn next_header(&mut self) -> Option<std::ops::Range<usize>> {
        let start = self.at;
        let mut end = self.line_end(start)?;
        self.at = (end + 1).min(self.bytes.len());
        if trimmed(self.bytes.get(start..end)?).is_empty() {
            return None;
        }
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
            end = self.line_end(self.at)?;
            self.at = (end + 1).min(self.bytes.len());
        }
        Some(start..end)
    }

    /// Where it stands: behind the blank line once [`HeaderLines::next_header`] has said `None`.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    fn line_end(&self, start: usize) -> Option<usize> {
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        Some(memchr::memchr(b'\n', rest).map_or(self.bytes.len(), |end| start + end))
    }
}

/// A header's name and value, if it has a colon.
pub(super) fn split(header: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', header)?;
    Some((header.get(..colon)?.trim_ascii(), header.get(colon + 1..)?.trim_ascii()))
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
