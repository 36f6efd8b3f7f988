//! A bearer token: `ramal_ID_SECRET`. Both parts are random; of the secret one only its hash is kept. PURE.
use crate::config::Secret;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

const PREFIX: &str = "ramal_";
/// Hexadecimal digits of the part that names it.
const ID: usize = 16;
/// Hexadecimal digits of the part that proves it: 256 bits.
const SECRET: usize = 64;
/// Random bytes that make a token.
pub const RANDOM: usize = (ID + SECRET) / 2;

/// A token as its bearer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is called; no secret.
    pub id: String,
    secret: Secret,
}

impl Token {
    /// A token of these bytes, which nobody may guess.
    pub fn new(random: &[u8; RANDOM]) -> Self {
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, secret) = digits.split_at_checked(ID).unwrap_or_default();
        Self { id: id.to_owned(), secret: Secret::new(secret) }
    }

    /// From what a bearer shows; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        (digits(id, ID) && digits(secret, SECRET)).then(|| Self { id: id.to_owned(), secret: Secret::new(secret) })
    }

    /// As it is given to its bearer, once.
    pub fn show(&self) -> Secret {
        Secret::new(format!("{PREFIX}{}_{}", self.id, self.secret.expose()))
    }

    /// What is kept of it. The secret has 256 random bits, so nothing slower is needed to make guessing hopeless.
    pub fn hash(&self) -> String {
        digest(&SHA256, self.secret.expose().as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is the token of that hash; takes as long for every wrong one.
    pub fn is_of(&self, hash: &str) -> bool {
        self.hash().as_bytes().ct_eq(hash.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_only_its_own_hash_fits() {
        let mut random = [7; RANDOM];
        let token = Token::new(&random);
        assert_eq!(token.show().expose(), format!("ramal_{}_{}", "07".repeat(8), "07".repeat(32)));
        assert_eq!(Token::parse(token.show().expose()), Some(token.clone()));
        assert!(!token.hash().contains(&"07".repeat(4)), "the secret is not kept");
        random[RANDOM - 1] = 8;
        let other = Token::new(&random);
        assert!(token.is_of(&token.hash()) && !other.is_of(&token.hash()) && !token.is_of(""));
        assert!(!format!("{token:?}").contains(&"07".repeat(32)));
        for text in ["", "ramal_", "ramal_0707_07", &token.show().expose().to_uppercase()] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
