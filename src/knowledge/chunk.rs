//! A document in pieces, each small enough to be told to a model and whole enough to be understood.

/// Longest chunk, in characters.
const LONGEST: usize = 800;
/// A heading begins a chunk once the one before it has so many characters.
const LEAST: usize = 200;
/// Longest sentence that two chunks share, in characters: what goes on from it is understood.
const SHARED: usize = 200;

/// A piece of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The heading it stands under, if it does not begin with one.
    pub heading: Option<&'a str>,
    /// As it stands in the document.
    pub text: &'a str,
}

/// Where a text may be cut: a heading, a sentence, an item of a list, with the space before it.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: usize,
    to: usize,
    /// Characters of all of it, and without that space.
    chars: (usize, usize),
    is_heading: bool,
}

/// Cuts a text or Markdown document into chunks: at headings and between sentences, never inside a word of fewer than 800
/// characters. They follow one another, have all of the text but the space between them, and two may share a sentence.
pub fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let pieces = pieces(text);
    let (mut chunks, mut heading, mut first, mut seen) = (Vec::new(), None, 0, 0);
    while let Some(begin) = pieces.get(first) {
        let end = first + fitting(pieces.get(first..).unwrap_or_default());
        // The last heading before this chunk.
        for piece in pieces.get(seen..first).unwrap_or_default().iter().filter(|piece| piece.is_heading) {
            heading = text.get(piece.from..piece.to).map(title);
        }
        seen = seen.max(first);
        let to = end.checked_sub(1).and_then(|last| pieces.get(last)).map_or(begin.to, |last| last.to);
        let whole = text.get(begin.from..to).unwrap_or_default().trim();
        if !whole.is_empty() {
            chunks.push(Chunk { heading: heading.filter(|_| !begin.is_heading), text: whole });
        }
        first = if shares(&pieces, first, end) { end - 1 } else { end };
    }
    chunks
}

/// How many of these pieces are a chunk; one at least.
fn fitting(pieces: &[Piece]) -> usize {
    let Some((first, rest)) = pieces.split_first() else { return 1 };
    let (mut chars, mut count, mut after_heading) = (first.chars.1, 1, first.is_heading);
    for piece in rest {
        let is_next = piece.is_heading && !after_heading && chars >= LEAST;
        if is_next || chars + piece.chars.0 > LONGEST {
            break;
        }
        (chars, count, after_heading) = (chars + piece.chars.0, count + 1, piece.is_heading);
    }
    count
}

/// Whether the last piece of a chunk begins the next as well: a short sentence, and there is room for what follows.
fn shares(pieces: &[Piece], first: usize, end: usize) -> bool {
    let Some((last, next)) = end.checked_sub(1).and_then(|last| pieces.get(last)).zip(pieces.get(end)) else {
        return false;
    };
    let is_alone = end - first < 2;
    let fits = last.chars.1 <= SHARED && last.chars.1 + next.chars.0 <= LONGEST;
    !is_alone && !last.is_heading && !next.is_heading && fits
}

/// All of a text but the space at its end, in pieces that follow one another.
fn pieces(text: &str) -> Vec<Piece> {
    let (text, mut pieces, mut from) = (text.trim_end(), Vec::new(), 0);
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let (length, is_heading) = piece(rest, from == 0);
        let to = from + length;
        let whole = text.get(from..to).unwrap_or_default();
        let chars = (whole.chars().count(), whole.trim_start().chars().count());
        pieces.push(Piece { from, to, chars, is_heading });
        from = to;
    }
    pieces
}

/// How many bytes of this text are its first piece, at least one and to the end of a character; and whether that is a heading.
fn piece(text: &str, is_first: bool) -> (usize, bool) {
    let own = text.trim_start();
    let space = text.len() - own.len();
    let begins_line = is_first || text.get(..space).is_some_and(|space| space.contains('\n'));
    let line = own.split('\n').next().unwrap_or_default();
    if begins_line && is_heading(line) && line.chars().count() <= LONGEST {
        return (space + line.len(), true);
    }
    let (mut chars, mut gap, mut ended) = (0, None, false);
    for (at, letter) in own.char_indices() {
        if letter.is_whitespace() {
            if ended || (letter == '\n' && begins_anew(own.get(at + 1..).unwrap_or_default())) {
                return (space + at, false);
            }
            gap = Some(at);
        }
        if chars >= LONGEST {
            return (space + gap.unwrap_or(at), false);
        }
        chars += 1;
        // What closes a quotation or a bracket belongs to the sentence.
        let closes = ended && matches!(letter, '"' | '\'' | ')' | '”' | '’' | '»');
        ended = closes || matches!(letter, '.' | '!' | '?' | '…');
    }
    (text.len(), false)
}

/// Whether this is the beginning of something else than the line before it: nothing, a heading, or an item of a list.
fn begins_anew(text: &str) -> bool {
    let line = text.split('\n').next().unwrap_or_default().trim();
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_numbered = number.len() < line.len() && (number.starts_with(". ") || number.starts_with(") "));
    let is_item = ["- ", "* ", "+ ", "• ", "|", ">"].iter().any(|mark| line.starts_with(mark)) || is_numbered;
    line.is_empty() || is_heading(line) || is_item
}

/// Whether a text begins with a heading of Markdown.
fn is_heading(text: &str) -> bool {
    let rest = text.trim_start_matches('#');
    (1..=6).contains(&(text.len() - rest.len())) && rest.starts_with([' ', '\t'])
}

/// What a heading says.
fn title(heading: &str) -> &str {
    heading.trim().trim_matches('#').trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: &str = "# Clínica\n\nAbrimos de segunda a sexta, das 8h às 18h. Aos sábados, das 8h ao meio-dia.\n\n\
        ## Preços\n\n- Consulta: R$ 150,00\n- Retorno: grátis em 30 dias\n";

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    /// That chunks have every word of the text, in order, and none of them is too long.
    fn check(text: &str) -> Vec<Chunk<'_>> {
        let chunks = chunks(text);
        let mut reached = 0;
        for chunk in &chunks {
            let from = chunk.text.as_ptr() as usize - text.as_ptr() as usize;
            let between = text.get(reached.min(from)..from).unwrap();
            assert!(between.trim().is_empty(), "{between:?} is in no chunk");
            assert!(from + chunk.text.len() > reached, "{:?} says nothing new", chunk.text);
            assert!(chunk.text.chars().count() <= LONGEST, "{}", chunk.text.chars().count());
            reached = from + chunk.text.len();
        }
        assert!(text.get(reached..).unwrap().trim().is_empty(), "the end is in no chunk");
        chunks
    }

    #[test]
    fn a_short_document_is_one_chunk() {
        let chunks = check(PRICES);
        assert_eq!(chunks, [Chunk { heading: None, text: PRICES.trim() }]);
        assert!(check("").is_empty() && check(" \n\t\n").is_empty());
    }

    #[test]
    fn a_heading_begins_a_chunk_and_names_those_that_follow_under_it() {
        let sentence = "O prazo de entrega conta a partir do pagamento. ";
        let text = format!("# Loja\n\n{}\n\n## Entrega ##\n\n{}", sentence.repeat(6), sentence.repeat(60));
        let chunks = check(&text);
        assert!(chunks[0].text.starts_with("# Loja") && !chunks[0].text.contains("Entrega"), "{chunks:?}");
        assert!(chunks[1].text.starts_with("## Entrega ##") && chunks[1].heading.is_none());
        assert!(chunks.len() >= 4 && chunks[2..].iter().all(|chunk| chunk.heading == Some("Entrega")), "{chunks:?}");
    }

    #[test]
    fn two_chunks_of_running_text_share_a_sentence_and_none_begins_within_a_word() {
        let text: String = (0..60).map(|n| format!("Sentence number {n} is about parcel {n}. ")).collect();
        let chunks = check(&text);
        assert!(chunks.len() > 2);
        for pair in chunks.windows(2) {
            let last = pair[0].text.rsplit_once("Sentence").unwrap().1;
            assert!(pair[1].text.starts_with(&format!("Sentence{last}")), "{pair:?}");
        }
        assert!(chunks.iter().all(|chunk| chunk.text.starts_with("Sentence") && chunk.text.ends_with('.')));
    }

    #[test]
    fn sentences_and_words_that_are_too_long_are_cut_at_spaces_or_anywhere() {
        let words_only = "palavra ".repeat(500);
        for chunk in check(&words_only) {
            assert!(words(chunk.text).iter().all(|word| *word == "palavra"), "{chunk:?}");
        }
        let one_word = "ã".repeat(2_000);
        assert_eq!(
            check(&one_word).iter().map(|chunk| chunk.text.chars().count()).collect::<Vec<_>>(),
            [800, 800, 400]
        );
    }

    #[test]
    fn headings_alone_do_not_make_a_chunk_each() {
        let text = "# a\n# b\n\n## c\nd\n".repeat(1_000);
        let chunks = check(&text);
        assert!(chunks.len() < text.len() / LEAST + 1, "{}", chunks.len());
    }

    /// Anything at all: whatever it is cut into, nothing is lost, nothing is too long, and it is the same again.
    #[test]
    fn every_text_is_covered_by_its_chunks() {
        let parts =
            ["# h ", "\n", "\n\n", " ", "word ", "Não. ", "é?\" ", "- item", "1. x", "…", "\r\n", "###### ", "«fim.» "];
        let mut random = 7_u64;
        for _ in 0..300 {
            let mut text = String::new();
            for _ in 0..400 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let pick = usize::try_from(random >> 33).unwrap();
                text.push_str(parts[pick % parts.len()]);
                if pick % 97 == 0 {
                    text.push_str(&"x".repeat(pick % 1_700));
                }
            }
            assert_eq!(check(&text), chunks(&text));
        }
    }
}
