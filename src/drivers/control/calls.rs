//! Calls that are up, as asked for on the control socket. Who may open it is the administrator of all tenants.
use super::{AsyncWriteExt, Reply, Sources, UnixStream, io, tell};
use crate::drivers::switchboard::{LiveCall, Order, Switchboard};
use media::recording::wav;
use uuid::Uuid;

/// Who asks, for the record of a call that is listened to.
pub(super) fn who(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => format!("uid {} at the control socket", peer.uid()),
        Err(_) => "somebody at the control socket".to_owned(),
    }
}

impl Sources {
    fn switchboard(&self) -> Option<Switchboard> {
        Some(self.admission.upgrade()?.shared.switchboard.clone())
    }

    pub(super) async fn live(&self, writer: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<Option<()>> {
        let Some(switchboard) = self.switchboard() else { return Ok(None) };
        for call in switchboard.calls(None) {
            tell(writer, &Reply::Live(Box::new(call))).await?;
        }
        Ok(Some(()))
    }

    pub(super) async fn steer(&self, call: &str, order: Order) -> Reply {
        let found =
            self.switchboard().ok_or_else(ending).and_then(|board| Ok((meant(&board.calls(None), call)?, board)));
        let done = match found {
            Ok((conversation, board)) => board.order(None, conversation, order).await.map_err(|why| why.to_string()),
            Err(why) => Err(why),
        };
        done.map_or_else(|why| Reply::Refused { why }, |()| Reply::End)
    }

    /// Tells what is heard until the call is over; returns what there is to say last.
    pub(super) async fn listen(
        &self,
        writer: &mut (impl AsyncWriteExt + Unpin),
        call: &str,
        who: &str,
    ) -> io::Result<Reply> {
        let refused = |why| Ok(Reply::Refused { why });
        let Some(board) = self.switchboard() else { return refused(ending()) };
        let conversation = match meant(&board.calls(None), call) {
            Ok(conversation) => conversation,
            Err(why) => return refused(why),
        };
        let mut listener = match board.listen(None, conversation, who).await {
            Ok(listener) => listener,
            Err(why) => return refused(why.to_string()),
        };
        drop(board); // it keeps the calls' orders open, and this may take as long as a call
        tell(writer, &Reply::Listening { conversation, rate: listener.rate.hz() }).await?;
        while let Some(sound) = listener.next().await {
            let base64 = base64_simd::STANDARD.encode_to_string(wav::bytes(&sound.samples.samples));
            tell(writer, &Reply::Heard { missed: sound.missed, base64 }).await?;
        }
        Ok(Reply::End)
    }
}

fn ending() -> String {
    "the server is ending".to_owned()
}

/// The one call whose conversation begins so.
fn meant(calls: &[LiveCall], begins: &str) -> Result<Uuid, String> {
    let begins = begins.to_ascii_lowercase();
    let mut found = calls.iter().filter(|call| call.conversation_uuid.to_string().starts_with(&begins));
    match (found.next(), found.next()) {
        (Some(call), None) if !begins.is_empty() => Ok(call.conversation_uuid),
        (Some(_), Some(_)) => {
            Err("the conversations of several calls begin so; write more of the one you mean".to_owned())
        }
        (Some(_) | None, _) => Err("no call that is up is that conversation; `ramal calls` lists them".to_owned()),
    }
}
