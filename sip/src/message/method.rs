//! Request methods (RFC 3261 §7.1 and its extensions). Case counts; unknown ones are kept.
use super::lex;
use std::{fmt, str::FromStr};

macro_rules! methods {
    ($($method:ident $text:literal $rfc:literal,)*) => {
        /// A request method.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Method {
            $(#[doc = concat!("`", $text, "`, ", $rfc, ".")] $method,)*
            /// Any other token, answered 501 or 405.
            Other(String),
        }

        impl Method {
            /// The method as on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$method => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl FromStr for Method {
            type Err = InvalidMethod;
            fn from_str(text: &str) -> Result<Self, InvalidMethod> {
                match text {
                    $($text => Ok(Self::$method),)*
                    other if lex::is_token(other) => Ok(Self::Other(other.to_owned())),
                    _ => Err(InvalidMethod),
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261",
    Ack "ACK" "RFC 3261",
    Bye "BYE" "RFC 3261",
    Cancel "CANCEL" "RFC 3261",
    Register "REGISTER" "RFC 3261",
    Options "OPTIONS" "RFC 3261",
    Info "INFO" "RFC 6086",
    Update "UPDATE" "RFC 3311",
    Refer "REFER" "RFC 3515",
    Notify "NOTIFY" "RFC 6665",
    Subscribe "SUBSCRIBE" "RFC 6665",
    Message "MESSAGE" "RFC 3428",
    Prack "PRACK" "RFC 3262",
    Publish "PUBLISH" "RFC 3903",
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a method is a token")]
pub struct InvalidMethod;

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_counts_and_unknown_methods_are_kept() {
        assert_eq!("INVITE".parse(), Ok(Method::Invite));
        assert_eq!("Invite".parse(), Ok(Method::Other("Invite".into())));
        let odd = "!interesting-Method0123456789_*+`.%indeed'~";
        assert_eq!(odd.parse::<Method>().unwrap().to_string(), odd);
        assert_eq!("IN VITE".parse::<Method>(), Err(InvalidMethod));
        assert_eq!("".parse::<Method>(), Err(InvalidMethod));
    }
}
