//! Sends messages to a HEP collector. What it does not take in time is lost: the tap does not wait for it.
use crate::trace::{
    Entry,
    hep::{self, Identity},
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::{net::UdpSocket, sync::mpsc};
use tracing::debug;

/// Messages that may wait for the collector; the newest are lost, and counted by the tap.
const QUEUE: usize = 1_024;

/// Starts the sender, which ends with the last sender of entries.
///
/// # Errors
/// No socket can be had for this address.
pub async fn start(collector: SocketAddr, identity: Identity) -> io::Result<mpsc::Sender<Entry>> {
    let any: SocketAddr = match collector {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(collector).await?;
    let (sender, mut entries) = mpsc::channel::<Entry>(QUEUE);
    tokio::spawn(async move {
        while let Some(entry) = entries.recv().await {
            let Some(packet) = hep::packet(&entry, &identity) else {
                debug!(call_id = %entry.call_id, "a message is too long for HEP");
                continue;
            };
            // A collector that is not there says so by ICMP, at the next send.
            if let Err(error) = socket.send(&packet).await {
                debug!(%error, "HEP");
            }
        }
    });
    Ok(sender)
}
