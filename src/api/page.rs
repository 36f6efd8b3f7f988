//! Lists come in pages: an answer has a cursor for the next one, which only we can read.
use super::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Items of a page where nothing is said.
const USUAL: u32 = 50;
/// Most items of a page.
const MOST: u32 = 200;

/// Most bytes of a page's items, but for the first: what nobody reads waits in memory.
const LONGEST: usize = 1 << 20;

/// Which tenant is meant.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Whose {
    /// The domain, by name or UUID. A token for all domains must say it; one for a single domain need not.
    #[serde(rename = "domain")]
    pub(super) _domain: Option<String>,
}

/// Which part of a list is meant.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The domain, by name or UUID. A token for all domains must say it; one for a single domain need not.
    #[serde(rename = "domain")]
    pub(super) _domain: Option<String>,
    /// Items of a page; 50 if it is not said.
    #[schemars(range(min = 1, max = 200))]
    pub(super) limit: Option<u32>,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
}

/// Part of a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(super) struct Page<T> {
    /// What it has.
    pub(super) items: Vec<T>,
    /// UUIDs of those of this part of the list that nobody can read, as the server's log says: they are left out of the items, and
    /// can be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unreadable: Vec<String>,
    /// `cursor` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// How many items are wanted.
///
/// # Errors
/// None, or too many.
pub(super) fn size(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(USUAL) {
        size @ 1..=MOST => Ok(size),
        _ => Err(Problem::malformed(format!("limit must be 1 to {MOST}"))),
    }
}

impl<T: Serialize> Page<T> {
    /// A page of rows of which one more was asked for than there is room: that one says that there is a next page, which begins
    /// after the last of this one. A page whose items are long has fewer.
    pub(super) fn of<R>(rows: Vec<R>, size: u32, at: impl Fn(&R) -> String, show: impl Fn(R) -> T) -> Self {
        Self::tried(rows, size, at, |row| Ok(show(row)))
    }

    /// The same of rows of which some cannot be read: those have a place, and are told by name.
    pub(super) fn tried<R>(
        mut rows: Vec<R>,
        size: u32,
        at: impl Fn(&R) -> String,
        show: impl Fn(R) -> Result<T, String>,
    ) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut more = rows.len() > size;
        rows.truncate(size);
        let (mut items, mut unreadable, mut last, mut length) = (Vec::new(), Vec::new(), None, 0_usize);
        for row in rows {
            let place = at(&row);
            match show(row) {
                Ok(item) => {
                    length = length.saturating_add(serde_json::to_vec(&item).map_or(0, |json| json.len()));
                    if length > LONGEST && !items.is_empty() {
                        more = true;
                        break;
                    }
                    items.push(item);
                }
                Err(name) => unreadable.push(name),
            }
            last = Some(place);
        }
        let next = last.filter(|_| more).map(|last| cursor(&last));
        Self { items, unreadable, next }
    }
}

fn cursor(at: &str) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(at)
}

/// What a cursor says.
///
/// # Errors
/// It is none of ours.
pub(super) fn place<T>(cursor: Option<&str>, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(cursor).ok();
    let at = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|at| read(&at));
    at.map(Some).ok_or_else(|| Problem::malformed("cursor is not one that a page had as next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_begins_and_the_last_says_nothing() {
        let page = |rows| Page::of(rows, 2, |row: &u8| format!("at {row}"), |row| row);
        let first = page(vec![1, 2, 3]);
        assert_eq!(first.items, [1, 2]);
        let read = |at: &str| at.strip_prefix("at ").map(str::to_owned);
        assert_eq!(place(first.next.as_deref(), read).unwrap().as_deref(), Some("2"));
        assert_eq!(page(vec![1, 2]).next, None);
        let long = |rows| Page::of(rows, 3, |row: &u8| format!("at {row}"), |row| [row; LONGEST / 5].to_vec());
        let first = long(vec![1, 2, 3]);
        assert_eq!((first.items.len(), place(first.next.as_deref(), read).unwrap().as_deref()), (2, Some("2")));
        let odd = |row: u8| if row % 2 == 1 { Ok(row) } else { Err(row.to_string()) };
        let first = Page::tried(vec![2, 4, 6], 2, |row: &u8| format!("at {row}"), odd);
        assert!(first.items.is_empty() && first.unreadable == ["2", "4"], "{:?}", first.unreadable);
        assert_eq!(place(first.next.as_deref(), read).unwrap().as_deref(), Some("4"), "they end no list");
        assert!(place(Some("%%%"), read).is_err() && place(Some(&cursor("x")), read).is_err());
        assert!(size(Some(0)).is_err() && size(Some(201)).is_err());
    }
}
