//! Ports of this machine for one test, safe when many tests run at once in processes of their own.
use anyhow::{Context, Result, bail};
use std::{
    env,
    fs::{self, File, TryLockError},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    process,
};

/// Below the ports of `ramal call` (30000 and up) and of sockets without a port (32768 and up), above a machine's services.
const FIRST: u16 = 18_000;
const LAST: u16 = 30_000;
/// Ports in one block.
pub const BLOCK: u16 = 60;

/// A block of [`BLOCK`] ports on 127.0.0.1 that no other test has; given back when dropped.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    next: u16,
    /// The lock on the block's file is what makes it ours; the system releases it however the process ends.
    _lock: File,
}

impl Ports {
    /// Takes a block whose ports are all free for UDP and TCP.
    ///
    /// # Errors
    /// No block is free, or the lock files cannot be written.
    pub fn take() -> Result<Self> {
        let folder = env::temp_dir().join("ramal-test-ports");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let blocks = (LAST - FIRST) / BLOCK;
        let start = u16::try_from(process::id() % u32::from(blocks))?;
        for step in 0..blocks {
            let first = FIRST + (start + step) % blocks * BLOCK;
            if let Some(lock) = lock(folder.join(first.to_string()))?
                && (first..first + BLOCK).all(free)
            {
                return Ok(Self { first, next: first, _lock: lock });
            }
        }
        bail!("no block of {BLOCK} free ports between {FIRST} and {LAST}")
    }

    /// The next port of the block.
    ///
    /// # Errors
    /// The block is used up.
    pub fn port(&mut self) -> Result<u16> {
        Ok(self.run(1)?.0)
    }

    /// An even port whose successors are ours too: `count` ports in a row, as RTP with RTCP and baresip want them.
    /// Returns the first and the last.
    ///
    /// # Errors
    /// The block is used up.
    pub fn run(&mut self, count: u16) -> Result<(u16, u16)> {
        let first = if count > 1 { self.next.next_multiple_of(2) } else { self.next };
        let last = first + count - 1;
        if last >= self.first + BLOCK {
            bail!("a test wants more than {BLOCK} ports");
        }
        self.next = last + 1;
        Ok((first, last))
    }

    /// The next port as an address on 127.0.0.1.
    ///
    /// # Errors
    /// The block is used up.
    pub fn address(&mut self) -> Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, self.port()?).into())
    }
}

fn lock(path: PathBuf) -> Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

fn free(port: u16) -> bool {
    let address = (Ipv4Addr::LOCALHOST, port);
    UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_blocks_share_no_port() {
        let (mut one, mut two) = (Ports::take().unwrap(), Ports::take().unwrap());
        let taken: Vec<u16> = (0..BLOCK).map(|_| one.port().unwrap()).collect();
        assert!((0..BLOCK).all(|_| !taken.contains(&two.port().unwrap())));
        assert!(one.port().is_err(), "a block has an end");
    }

    #[test]
    fn a_run_starts_even() {
        let mut ports = Ports::take().unwrap();
        ports.port().unwrap();
        let (first, last) = ports.run(4).unwrap();
        assert_eq!((first % 2, last - first), (0, 3));
    }
}
