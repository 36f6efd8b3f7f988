//! The floor of a program that is laid out as the server is: a single-threaded runtime on each core, and on it a task for
//! each call, with a socket, a connection and a grid of 20 ms of its own.
use super::{DATAGRAM, Trust, append, connection, url};
use anyhow::{Context, Result, anyhow, ensure};
use futures_util::{SinkExt, StreamExt};
use std::{net::SocketAddr, sync::mpsc, thread, time::Duration};
use tokio::{
    net::{TcpStream, UdpSocket},
    runtime, select,
    task::JoinSet,
    time::interval,
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config, tungstenite::Message,
};

const PACKET: Duration = Duration::from_millis(20);

/// A call and where it takes RTP, or why all is over.
type Told = Result<(usize, SocketAddr)>;

struct Task {
    rtp: UdpSocket,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// As [`super::run`].
pub(super) fn run(calls: usize, provider: SocketAddr, trust: &Trust) -> Result<()> {
    let threads = thread::available_parallelism()?.get();
    let (told, heard) = mpsc::channel();
    for number in 0..threads {
        let own = (number..calls).step_by(threads);
        let (told, trust) = (told.clone(), Trust::clone(trust));
        thread::spawn(move || {
            if let Err(error) = carry(own, provider, &trust, &told) {
                // Nobody listens where another thread's call failed before.
                let _ = told.send(Err(error));
            }
        });
    }
    drop(told);
    let mut addresses = (0..calls).map(|_| heard.recv().context("a thread is over")?).collect::<Result<Vec<_>>>()?;
    addresses.sort_unstable();
    super::tell(addresses.into_iter().map(|(_, rtp)| rtp))?;
    heard.recv().context("all threads are over")?.map(drop)
}

/// Opens the calls of one thread, and carries until one of them fails.
fn carry(
    calls: impl Iterator<Item = usize>,
    provider: SocketAddr,
    trust: &Trust,
    told: &mpsc::Sender<Told>,
) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for call in calls {
            let task = Task::open(provider, trust).await?;
            told.send(Ok((call, task.rtp.local_addr()?)))?;
            tasks.spawn(task.carry());
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    })
}

impl Task {
    async fn open(provider: SocketAddr, trust: &Trust) -> Result<Self> {
        let stream = TcpStream::connect(provider).await?;
        stream.set_nodelay(true)?;
        let connector = Connector::Rustls(Trust::clone(trust));
        let opened = client_async_tls_with_config(url(provider), stream, Some(connection()), Some(connector)).await;
        let (mut socket, _) = opened.map_err(|error| anyhow!("the provider: {error}"))?;
        socket.send(Message::text(super::SESSION)).await?;
        Ok(Self { rtp: UdpSocket::bind("127.0.0.1:0").await?, socket })
    }

    /// Sends each packet up when it comes, and back at the next beat.
    async fn carry(self) -> Result<()> {
        let Self { rtp, mut socket } = self;
        let mut grid = interval(PACKET);
        let mut buffer = [0; DATAGRAM];
        let mut last = None;
        loop {
            select! {
                received = rtp.recv_from(&mut buffer) => {
                    let (length, from) = received.context("recvfrom")?;
                    last = Some((length, from));
                    socket.send(Message::text(append(buffer.get(..length).unwrap_or_default()))).await?;
                }
                _ = grid.tick() => {
                    let Some((length, from)) = last.take() else { continue };
                    // What the kernel does not take is a lost packet.
                    let _ = rtp.try_send_to(buffer.get(..length).unwrap_or_default(), from);
                }
                message = socket.next() => {
                    let message = message.context("the provider is gone")??;
                    ensure!(!message.is_close(), "the provider closed");
                }
            }
        }
    }
}
