//! Server-sent events, as far as chat completions use them: `data:` lines; comments and other fields are skipped.

/// The longest line that is kept, bytes: a delta has a few hundred. A longer one is dropped whole.
const LONGEST_LINE: usize = 256 << 10;

/// Bytes in, the data of events out. Each `data:` line is an event of its own: no server of chat completions splits one.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    overlong: bool,
}

impl Lines {
    /// The data lines that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => found.extend(self.line()),
                _ if self.rest.len() >= LONGEST_LINE => self.overlong = true,
                other => self.rest.push(*other),
            }
        }
        found
    }

    fn line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.rest);
        if std::mem::take(&mut self.overlong) {
            return None;
        }
        let text = String::from_utf8_lossy(&line);
        text.strip_prefix("data:").map(|data| data.trim().to_owned()).filter(|data| !data.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_however_the_bytes_are_cut() {
        let stream = ": keep-alive\r\ndata: {\"a\":\"é\"}\n\nevent: x\ndata:[DONE]\n\n".as_bytes();
        for size in 1..stream.len() {
            let mut lines = Lines::default();
            let found: Vec<String> = stream.chunks(size).flat_map(|bytes| lines.push(bytes)).collect();
            assert_eq!(found, ["{\"a\":\"é\"}", "[DONE]"], "{size}");
        }
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_is_read() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; LONGEST_LINE * 2]).is_empty());
        assert_eq!(lines.push(b"\ndata: 1\n"), ["1"]);
    }
}
