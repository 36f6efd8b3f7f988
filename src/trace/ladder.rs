//! A call as a ladder: a line for each party, an arrow for each message.
use super::{
    Direction, Entry, Progress, Trace,
    read::{self, Reading, Tone},
};
use crate::paint::{Paint, plain};
use chrono::FixedOffset;
use sip::message::{Message, Name};
use std::{collections::BTreeMap, fmt::Write as _, net::SocketAddr, sync::Arc};

/// Width of the two columns of time.
const TIMES: usize = 19;
/// Width of the column `CSeq`.
const CSEQ: usize = 18;
/// Least width of the notes; narrower terminals get longer lines.
const NOTES: usize = 19;
/// Between two lifelines: at most, at least.
const GAP: (usize, usize) = (32, 20);
/// Between three lifelines and more.
const NARROW: usize = 14;

/// How much of each message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The arrow and what matters.
    Arrows,
    /// All of it, below its arrow.
    Messages,
}

/// How a ladder is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Columns of the terminal; `None` where lines may be as long as they are.
    pub width: Option<usize>,
    /// Colours.
    pub paint: Paint,
    /// How much.
    pub detail: Detail,
    /// The zone of the clock on the wall.
    pub zone: FixedOffset,
}

/// One call with all its messages.
pub fn ladder(trace: &Trace, view: View) -> String {
    let mut ladder = Ladder::new(view, &trace.entries);
    let mut text = head(trace, view);
    text.push_str(&ladder.parties(&trace.entries));
    let half = trace.entries.len() / 2;
    for (index, entry) in trace.entries.iter().enumerate() {
        if index == half && trace.summary.dropped > 0 {
            text.push_str(&ladder.gap(trace.summary.dropped));
        }
        text.push_str(&ladder.row(entry));
    }
    text
}

/// A line about a call: for lists, and above its ladder.
pub fn title(entry: &Entry, view: View) -> String {
    let parsed = Message::parse(&entry.bytes).ok();
    let party = |name| {
        let address = parsed.as_ref().and_then(|message| message.headers().addresses(name).into_iter().next());
        address.map_or_else(|| "?".to_owned(), |address| plain(&address.uri.to_string()))
    };
    let at = entry.time().with_timezone(&view.zone).format("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let what = format!("{} → {}", party(Name::From), party(Name::To));
    format!("{}  {what}  {}", view.paint.on("1", &at), view.paint.on("2", &plain(&entry.call_id)))
}

fn head(trace: &Trace, view: View) -> String {
    let summary = &trace.summary;
    let lasted = summary.last_at.saturating_sub(summary.first.at) as f64 / 1e6;
    let progress = match summary.progress {
        Progress::Other => "no call",
        Progress::Registration => "registration",
        Progress::Asked => "not answered",
        Progress::Refused => "refused",
        Progress::Ringing => "ringing",
        Progress::Up => "up",
        Progress::Over => "over",
    };
    let kept = summary.messages;
    let mut about = format!("{progress}, {kept} messages in {lasted:.3} s");
    if let Some(conversation) = summary.conversation {
        // Writing to a String cannot fail.
        let _ = write!(about, ", conversation {conversation}");
    }
    format!("{}\n{}\n\n", title(&summary.first, view), view.paint.on("2", &about))
}

/// The one who is a column: us on whatever address, or a peer on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Us,
    Peer(SocketAddr),
}

/// Draws rows under lifelines, and remembers what it drew.
#[derive(Debug)]
pub struct Ladder {
    view: View,
    parties: Vec<Party>,
    /// Columns between two lifelines.
    gap: usize,
    first_at: Option<u64>,
    last_at: u64,
    /// How often each message was drawn.
    drawn: BTreeMap<(Direction, Arc<[u8]>), u32>,
    call_id: Option<Arc<str>>,
}

impl Ladder {
    fn new(view: View, entries: &[Entry]) -> Self {
        let mut parties = Vec::new();
        for entry in entries {
            let (from, to) = ends(entry);
            for party in [from, to] {
                if !parties.contains(&party) {
                    parties.push(party);
                }
            }
        }
        let room = view.width.unwrap_or(160).saturating_sub(TIMES + parties.len().max(2) + 2 + CSEQ + NOTES);
        let gaps = parties.len().saturating_sub(1).max(1);
        let gap = match gaps {
            1 => room.clamp(GAP.1, GAP.0),
            _ => (room / gaps).clamp(NARROW, GAP.0),
        };
        Self { view, parties, gap, first_at: None, last_at: 0, drawn: BTreeMap::new(), call_id: None }
    }

    /// A ladder that messages are added to as they come, of one call or of many: two lines, the other and us.
    pub fn live(view: View) -> Self {
        Self::new(view, &[])
    }

    /// The next message; where another call begins or goes on, a line says which.
    pub fn follow(&mut self, entry: &Entry) -> String {
        let mut text = String::new();
        let peer = Party::Peer(entry.remote);
        let same = self.call_id.as_ref() == Some(&entry.call_id) && self.parties.first() == Some(&peer);
        if !same {
            self.parties = vec![peer, Party::Us];
            text = format!("\n{}\n{}", title(entry, self.view), self.parties(std::slice::from_ref(entry)));
            self.call_id = Some(Arc::clone(&entry.call_id));
        }
        // What follows a live call for hours must not remember all of it.
        if self.drawn.len() > 1_000 {
            self.drawn.clear();
        }
        text.push_str(&self.row(entry));
        text
    }

    /// Who is who: what they call themselves, and where they are.
    fn parties(&self, entries: &[Entry]) -> String {
        let (mut names, mut places) = (BTreeMap::new(), BTreeMap::new());
        for entry in entries {
            let (from, _) = ends(entry);
            places.entry(Party::Us).or_insert(entry.local);
            places.entry(Party::Peer(entry.remote)).or_insert(entry.remote);
            names.entry(from).or_insert_with(|| product(entry));
        }
        names.insert(Party::Us, Some("Ramal".to_owned()));
        let name = |party: &Party| names.get(party).cloned().flatten().unwrap_or_default();
        let place = |party: &Party| places.get(party).map(SocketAddr::to_string).unwrap_or_default();
        let line = |code: &str, text: String| self.view.paint.on(code, text.trim_end()) + "\n";
        let titles = self.centred("", self.parties.iter().map(name));
        let places = self.centred("      ms", self.parties.iter().map(place));
        line("1", titles) + &line("2", places)
    }

    /// Texts centred on the lifelines.
    fn centred(&self, left: &str, texts: impl Iterator<Item = String>) -> String {
        let mut line = left.to_owned();
        for (index, text) in texts.enumerate() {
            let middle = TIMES + index * (self.gap + 1);
            let text = cut(&text, self.gap);
            let start = middle.saturating_sub(text.chars().count() / 2);
            let used = line.chars().count();
            line.push_str(&" ".repeat(start.saturating_sub(used).max(usize::from(used > 0 && index > 0))));
            line.push_str(&text);
        }
        line
    }

    /// Lifelines where messages are left out.
    fn gap(&self, dropped: u64) -> String {
        let text = format!("{dropped} messages were not kept");
        format!("{}{}  {}\n", " ".repeat(TIMES), self.lifelines("┊"), self.view.paint.on("33", &text))
    }

    fn row(&mut self, entry: &Entry) -> String {
        let reading = read::read(&entry.bytes);
        let first_at = *self.first_at.get_or_insert(entry.at);
        let since = entry.at.saturating_sub(first_at) / 1_000;
        let step = entry.at.saturating_sub(if self.last_at == 0 { entry.at } else { self.last_at }) / 1_000;
        self.last_at = entry.at;
        let times = self.drawn.entry((entry.direction, Arc::clone(&entry.bytes))).or_default();
        *times += 1;
        let again = *times - 1;
        let paint = self.view.paint;
        let code = match reading.tone {
            Tone::Request => "34",
            Tone::Provisional => "36",
            Tone::Success => "32",
            Tone::Redirection => "33",
            Tone::Failure => "31",
        };
        let step = if step == 0 { String::new() } else { format!("+{step}") };
        let time = format!("{since:>8} {}  ", paint.on("2", &format!("{step:>8}")));
        let cseq = format!("{:<CSEQ$}", cut(&plain(&reading.cseq), CSEQ - 1));
        let arrow = self.arrow(entry, &reading, code);
        let lines = self.wrapped(&notes(&reading, again));
        let mut lines = lines.into_iter().map(|line| if again > 0 { paint.on("33", &line) } else { line });
        let note = lines.next().unwrap_or_default();
        let mut text = format!("{time}{arrow}  {}{note}", paint.on("2", &cseq)).trim_end().to_owned() + "\n";
        for line in lines {
            let _ = writeln!(text, "{}{}  {}{line}", " ".repeat(TIMES), self.lifelines("│"), " ".repeat(CSEQ));
        }
        if self.view.detail == Detail::Messages {
            text.push_str(&self.message(entry));
        }
        text
    }

    /// All lifelines, with the arrow between two of them.
    fn arrow(&self, entry: &Entry, reading: &Reading, code: &str) -> String {
        let (from, to) = ends(entry);
        let place = |party| self.parties.iter().position(|known| *known == party).unwrap_or_default();
        let (from, to) = (place(from), place(to));
        let (low, high) = (from.min(to), from.max(to));
        let width = ((high - low) * (self.gap + 1)).saturating_sub(1);
        let label = cut(&plain(&reading.label), width.saturating_sub(6));
        let shaft = "─".repeat(width.saturating_sub(label.chars().count() + 4));
        let paint = self.view.paint;
        let (label, line) = (paint.on(&format!("{code};1"), &label), |text: &str| paint.on(code, text));
        let drawn = match from < to {
            true => format!("{} {label} {}", line("─"), line(&format!("{shaft}▶"))),
            false => format!("{} {label} {}", line(&format!("◀{shaft}")), line("─")),
        };
        let empty = " ".repeat(self.gap);
        let mut text = "│".to_owned();
        for index in 0..self.parties.len().saturating_sub(1) {
            match index {
                index if index == low => text.push_str(&drawn),
                index if index > low && index < high => continue,
                _ => text.push_str(&empty),
            }
            text.push('│');
        }
        text
    }

    fn lifelines(&self, line: &str) -> String {
        vec![line; self.parties.len()].join(&" ".repeat(self.gap))
    }

    /// Notes in lines as wide as there is room.
    fn wrapped(&self, notes: &str) -> Vec<String> {
        let ladder = TIMES + self.parties.len() + self.parties.len().saturating_sub(1) * self.gap + 2 + CSEQ;
        let Some(width) = self.view.width.map(|width| width.saturating_sub(ladder).max(NOTES)) else {
            return vec![notes.to_owned()];
        };
        let mut lines = vec![String::new()];
        for word in notes.split(' ') {
            let letters: Vec<char> = word.chars().collect();
            for (index, piece) in letters.chunks(width).enumerate() {
                let Some(line) = lines.last_mut() else { break };
                let used = line.chars().count();
                if used > 0 && (index > 0 || used + 1 + piece.len() > width) {
                    lines.push(piece.iter().collect());
                    continue;
                }
                line.extend((used > 0).then_some(' '));
                line.extend(piece);
            }
        }
        lines
    }

    /// The message itself.
    fn message(&self, entry: &Entry) -> String {
        let text = String::from_utf8_lossy(&entry.bytes);
        let about = format!("{} {} ⇄ {}", entry.carrier.as_str(), entry.remote, entry.local);
        let mut shown = format!("\n{}{}\n", " ".repeat(TIMES), self.view.paint.on("2", &about));
        for line in text.lines() {
            let _ = writeln!(shown, "{}{}", " ".repeat(TIMES), self.view.paint.on("2", &plain(line)));
        }
        shown.push('\n');
        shown
    }
}

fn ends(entry: &Entry) -> (Party, Party) {
    let peer = Party::Peer(entry.remote);
    match entry.direction {
        Direction::In => (peer, Party::Us),
        Direction::Out => (Party::Us, peer),
    }
}

fn notes(reading: &Reading, again: u32) -> String {
    if again > 0 {
        return format!("retransmission {again}");
    }
    plain(&reading.notes.join(" · "))
}

/// What the sender calls itself: the product of `User-Agent` or `Server`, without its version.
fn product(entry: &Entry) -> Option<String> {
    let message = Message::parse(&entry.bytes).ok()?;
    let headers = message.headers();
    let name = headers.first(Name::UserAgent).or_else(|| headers.first(Name::Server))?;
    Some(plain(name.split('/').next().unwrap_or(name).trim())).filter(|name| !name.is_empty())
}

/// A text that is no longer than so many characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}
