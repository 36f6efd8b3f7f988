//! Bytes to a message (RFC 3261 §7): lines, unfolding, limits, and the checks without which nothing can be answered.
use super::{Headers, MAX_HEADERS, MAX_LINE, MAX_MESSAGE, MAX_VIA, Message, Method, Name, NameAddr, Request, Response};
use super::{StatusCode, Via, lex};
use crate::{
    Body,
    error::{ParseError, ParseErrorKind as Kind, Rejected},
    uri::Uri,
};

/// The headers every message must have, in the order their absence is reported.
const MANDATORY: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

/// Reads one whole message: a datagram, or a frame cut out of a stream.
pub(super) fn message(bytes: &[u8]) -> Result<Message, ParseError> {
    let bytes = skip_line_ends(bytes);
    if bytes.is_empty() {
        return Err(Kind::KeepAlive.into());
    }
    if bytes.len() > MAX_MESSAGE {
        return Err(Kind::TooLong.into());
    }
    let (head, body) = match head_end(bytes, 0) {
        Some((head, body)) => (bytes.get(..head), bytes.get(body..)),
        None => (Some(bytes), None),
    };
    let head = String::from_utf8_lossy(head.unwrap_or_default());
    let (start, rest) = head.split_once('\n').unwrap_or((&head, ""));
    let start = start.trim_end();
    let start = if start.len() > MAX_LINE { Err(Kind::LineTooLong.into()) } else { StartLine::parse(start) }?;
    let mut fields = Fields::read(rest);
    let body = cut_body(body, fields.content_length).map_err(|kind| fields.note(kind)).unwrap_or_default();
    match start {
        StartLine::Status(status, reason) => {
            fields.check(None);
            match fields.fault {
                Some(kind) => Err(kind.into()),
                None => Ok(Message::Response(Response { status, reason, headers: fields.headers, body })),
            }
        }
        StartLine::Request(method, uri) => request(method, uri, fields, body),
    }
}

fn request(method: Method, uri: Result<Uri, Kind>, mut fields: Fields, body: Body) -> Result<Message, ParseError> {
    fields.check(Some(&method));
    // A fault of the start line goes first: 505 must win over what the headers of another version may look like.
    match (uri, fields.fault) {
        (Ok(uri), None) => Ok(Message::Request(Request { method, uri, headers: fields.headers, body })),
        (Err(kind), _) | (Ok(_), Some(kind)) => Err(rejection(kind, method, fields.headers)),
    }
}

fn rejection(kind: Kind, method: Method, headers: Headers) -> ParseError {
    // By the branch of its Via and by its CSeq the sender knows its request again, whatever else it lacks.
    let known = headers.first(Name::CSeq).is_some_and(|value| !value.is_empty()) && headers.via().is_some();
    let answerable = known && method != Method::Ack;
    ParseError { kind, rejected: answerable.then(|| Box::new(Rejected { method, headers })) }
}

impl From<Kind> for ParseError {
    fn from(kind: Kind) -> Self {
        Self { kind, rejected: None }
    }
}

enum StartLine {
    /// The URI may be broken: the request is then answered, not dropped.
    Request(Method, Result<Uri, Kind>),
    Status(StatusCode, String),
}

impl StartLine {
    fn parse(line: &str) -> Result<Self, ParseError> {
        let (first, rest) = line.split_once(' ').ok_or(Kind::StartLine)?;
        if first.eq_ignore_ascii_case("SIP/2.0") {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let status = StatusCode::parse(code).ok_or(Kind::StartLine)?;
            return Ok(Self::Status(status, lex::one_line(reason).into_owned()));
        }
        let (uri, version) = rest.rsplit_once(' ').ok_or(Kind::StartLine)?;
        let method: Method = first.parse().map_err(|_| Kind::StartLine)?;
        let named = version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("SIP/"));
        if !named {
            return Err(Kind::StartLine.into());
        }
        let version_fits = version.get(4..) == Some("2.0");
        let uri = if version_fits { Uri::parse(uri).map_err(|_| Kind::RequestUri) } else { Err(Kind::Version) };
        Ok(Self::Request(method, uri))
    }
}

/// Headers read so far and the first fault found. Reading goes on after a fault, so that it can be answered.
#[derive(Default)]
struct Fields {
    headers: Headers,
    content_length: Option<usize>,
    vias: usize,
    fault: Option<Kind>,
}

impl Fields {
    fn read(text: &str) -> Self {
        let mut fields = Self::default();
        let mut logical = String::new();
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.starts_with([' ', '\t']) {
                logical.push(' ');
                logical.push_str(line.trim_start());
            } else {
                fields.line(&logical);
                logical.clear();
                logical.push_str(line);
            }
        }
        fields.line(&logical);
        fields
    }

    fn note(&mut self, kind: Kind) {
        self.fault.get_or_insert(kind);
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        if line.len() > MAX_LINE {
            return self.note(Kind::LineTooLong);
        }
        let Some((name, value)) = line.split_once(':') else {
            return self.note(Kind::HeaderLine);
        };
        let name = name.trim_end_matches([' ', '\t']);
        match Name::parse(name) {
            Some(Name::ContentLength) => self.length(value.trim()),
            Some(known @ (Name::Via | Name::Route | Name::RecordRoute)) => {
                // Control characters count as spaces, so a piece of nothing else is empty too.
                let value = lex::one_line(value);
                for piece in lex::split_list(&value, ',').filter(|piece| !piece.is_empty()) {
                    self.push(known.as_str(), piece);
                }
            }
            _ => self.push(name, value),
        }
    }

    fn push(&mut self, name: &str, value: &str) {
        if self.headers.len() >= MAX_HEADERS {
            return self.note(Kind::TooManyHeaders);
        }
        if name == Name::Via.as_str() {
            self.vias += 1;
            if self.vias > MAX_VIA {
                return self.note(Kind::TooManyVias);
            }
        }
        if self.headers.push_named(name, value).is_err() {
            self.note(Kind::HeaderLine);
        }
    }

    fn length(&mut self, value: &str) {
        match content_length(value) {
            Some(length) if self.content_length.is_none_or(|known| known == length) => {
                self.content_length = Some(length);
            }
            Some(_) => self.note(Kind::Repeated(Name::ContentLength)),
            None => self.note(Kind::Malformed(Name::ContentLength)),
        }
    }

    /// What every message must have, once and readable; `method` is that of a request.
    fn check(&mut self, method: Option<&Method>) {
        for name in MANDATORY {
            let fault = self.mandatory(name, method);
            self.fault = self.fault.or(fault);
        }
        let hops = self.headers.first(Name::MaxForwards).is_some() && self.headers.max_forwards().is_none();
        if hops {
            self.note(Kind::Malformed(Name::MaxForwards));
        }
    }

    fn mandatory(&self, name: Name, method: Option<&Method>) -> Option<Kind> {
        let mut values = self.headers.all(name);
        let Some(value) = values.next() else {
            return Some(Kind::Missing(name));
        };
        if name != Name::Via && values.next().is_some() {
            return Some(Kind::Repeated(name));
        }
        let sound = match name {
            Name::Via => self.headers.all(name).all(|via| Via::parse(via).is_some_and(|via| via.is_version_2())),
            Name::From | Name::To => NameAddr::parse(value).is_some(),
            Name::CSeq => self.headers.cseq().is_some(),
            _ => !value.is_empty() && !value.contains(char::is_whitespace),
        };
        if !sound {
            return Some(Kind::Malformed(name));
        }
        let named = (name == Name::CSeq).then(|| self.headers.cseq()).flatten()?;
        method.is_some_and(|method| *method != named.method).then_some(Kind::MethodMismatch)
    }
}

/// The body as Content-Length bounds it: a datagram's surplus is dropped, its lack an error (RFC 3261 §18.3).
fn cut_body(rest: Option<&[u8]>, declared: Option<usize>) -> Result<Body, Kind> {
    let rest = rest.ok_or(Kind::NoBlankLine)?;
    let declared = declared.unwrap_or(rest.len());
    let body = rest.get(..declared).ok_or(Kind::ShortBody { declared, got: rest.len() })?;
    Ok(body.into())
}

/// Digits only; more than any message can hold is still a number, so that it is told apart from nonsense.
pub(crate) fn content_length(value: &str) -> Option<usize> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(value.parse().unwrap_or(usize::MAX))
}

/// Line ends before a start line are to be ignored (RFC 3261 §7.5).
pub(crate) fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// The end of the last header line and the start of the body. LF alone counts as a line end. The search begins at
/// `from`: no blank line may begin in front of it.
pub(crate) fn head_end(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let found = bytes.get(at..)?.iter().position(|b| *b == b'\n')?;
        let line_end = at + found;
        let next = bytes.get(line_end + 1..)?;
        if next.starts_with(b"\n") {
            return Some((line_end, line_end + 2));
        }
        if next.starts_with(b"\r\n") {
            return Some((line_end, line_end + 3));
        }
        at = line_end + 1;
    }
}
