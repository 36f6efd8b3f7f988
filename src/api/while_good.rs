//! Answers that go on: each piece as it comes, as long as the token is good.
use super::{house::Stream, problem::Problem, scope::Scope};
use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use std::{io, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How often it is looked whether the token is still good.
const LOOK: Duration = Duration::from_secs(10);

/// An answer of these pieces. Whose token ends hears nothing more, within some seconds.
///
/// # Errors
/// The token has as many of them as it may.
pub(super) fn while_good(scope: Scope, pieces: Stream<io::Result<Bytes>>) -> Result<Body, Problem> {
    let seat = scope.stream()?;
    let began = ((scope, seat), pieces, Instant::now() + LOOK);
    Ok(Body::from_stream(stream::unfold(began, |((scope, seat), mut pieces, mut look)| async move {
        loop {
            if Instant::now() >= look {
                if !scope.is_still_good().await {
                    return None;
                }
                look = Instant::now() + LOOK;
            }
            // A piece that is late is not lost: the stream is only waited for again.
            if let Ok(piece) = timeout_at(look, pieces.next()).await {
                return piece.map(|piece| (piece, ((scope, seat), pieces, look)));
            }
        }
    })))
}
