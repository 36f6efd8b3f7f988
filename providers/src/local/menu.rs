//! The touch-tone menu: keys for the registered answers and transfers.
use super::{Answer, TransferTarget};

/// The key that says the menu again.
pub(super) const REPEAT: char = '0';

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Speaks the registered answer with this index.
    Answer(usize),
    /// Puts the caller through to the target with this index.
    Transfer(usize),
}

/// A key and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MenuItem {
    /// `1`–`9`.
    pub key: char,
    /// What it does.
    pub choice: Choice,
}

/// Gives 1–9 to the answers and then the transfers; when there are too many, the last three keys stay for transfers.
pub(super) fn automatic(answers: &[Answer], transfers: &[TransferTarget]) -> Vec<MenuItem> {
    let kept = transfers.len().min(3);
    let answers = (0..answers.len().min(9 - kept)).map(Choice::Answer);
    let choices = answers.chain((0..transfers.len()).map(Choice::Transfer));
    ('1'..='9').zip(choices).map(|(key, choice)| MenuItem { key, choice }).collect()
}

/// The configured items that point at something that exists.
pub(super) fn checked(items: &[MenuItem], answers: usize, transfers: usize) -> Vec<MenuItem> {
    let exists = |item: &&MenuItem| match item.choice {
        Choice::Answer(index) => index < answers,
        Choice::Transfer(index) => index < transfers,
    };
    items.iter().filter(exists).filter(|item| item.key != REPEAT).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_given_in_order_and_transfers_keep_theirs() {
        let answer = Answer { questions: vec![], answer: String::new() };
        let target = TransferTarget { name: String::new(), aliases: vec![] };
        let keys = |answers: usize, transfers: usize| -> String {
            let menu = automatic(&vec![answer.clone(); answers], &vec![target.clone(); transfers]);
            let kind = |item: &MenuItem| match item.choice {
                Choice::Answer(_) => 'a',
                Choice::Transfer(_) => 't',
            };
            menu.iter().flat_map(|item| [item.key, kind(item)]).collect()
        };
        assert_eq!(keys(0, 0), "");
        assert_eq!(keys(2, 1), "1a2a3t");
        assert_eq!(keys(20, 1), "1a2a3a4a5a6a7a8a9t");
        assert_eq!(keys(20, 5), "1a2a3a4a5a6a7t8t9t");
        assert_eq!(keys(0, 12), "1t2t3t4t5t6t7t8t9t");
    }

    #[test]
    fn items_that_point_nowhere_are_left_out() {
        let item = |key, choice| MenuItem { key, choice };
        let items = [item('1', Choice::Answer(0)), item('2', Choice::Answer(7)), item('0', Choice::Transfer(0))];
        assert_eq!(checked(&items, 1, 1), [item('1', Choice::Answer(0))]);
    }
}
