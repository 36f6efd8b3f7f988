//! The connection that will take the place of the one in use: opened beside it, and not spoken for yet.
use super::ws_client::{Connection, FromProvider};
use providers::{Ahead, Incoming, Outgoing};
use std::collections::VecDeque;

/// Messages that wait until it is used. A provider that has more to say to nobody is not to be relied upon: the connection
/// is dropped.
const SAID: usize = 32;

/// A connection that opens, and keeps what it hears.
#[derive(Debug)]
pub struct NextConnection {
    connection: Connection,
    is_open: bool,
    said: VecDeque<Incoming>,
}

impl NextConnection {
    /// Goes on opening this one.
    pub fn new(connection: Connection) -> Self {
        Self { connection, is_open: false, said: VecDeque::new() }
    }

    /// What comes of it; after [`Ahead::Lost`] it is of no use. Nothing is lost when the future is dropped.
    pub async fn change(&mut self) -> Ahead {
        loop {
            match self.connection.next().await {
                FromProvider::Connected => {
                    self.is_open = true;
                    return Ahead::Open;
                }
                FromProvider::Message(message) if self.said.len() < SAID => self.said.push_back(message),
                FromProvider::Writable => {}
                FromProvider::Message(_) | FromProvider::Disconnected(_) => return Ahead::Lost,
            }
        }
    }

    /// Says something over it in advance.
    pub fn send(&mut self, text: String) {
        self.connection.send(Outgoing::Text(text));
    }

    /// It is used from here on: the connection, whether it is open, and what was said over it.
    pub fn take(self) -> (Connection, bool, VecDeque<Incoming>) {
        (self.connection, self.is_open, self.said)
    }
}
